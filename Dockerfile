# Two stages: build with all dependencies, run with those of production and as an ordinary user.
FROM node:20-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build

FROM node:20-slim
WORKDIR /app
ENV NODE_ENV=production
COPY package.json package-lock.json .npmrc ./
# drizzle-orm and the server's packages are peers: the application brings them, and this image is one.
RUN npm ci --omit=dev --ignore-scripts \
  && npm install --no-save --ignore-scripts drizzle-orm@0.45.4 express@5.3.0 helmet@8.3.0 \
     @bull-board/api@9.10.1 @bull-board/express@9.10.1
COPY migrations ./migrations
COPY --from=build /app/dist ./dist
COPY rederive.config.ts ./
COPY examples ./examples
USER node
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["--help"]
