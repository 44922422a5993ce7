-- The tables of the flights example; schema.ts describes the same to drizzle.

create table if not exists flight (
  id bigint primary key,
  departed_at timestamp not null,
  delay integer not null,
  distance integer not null,
  origin text not null,
  destination text not null
);

create table if not exists flight_facts (
  id bigint primary key,
  flight_date date not null,
  departure_hour smallint not null,
  origin text not null,
  destination text not null,
  delay integer not null,
  is_early boolean not null,
  delay_class text not null,
  distance integer not null,
  distance_band text not null
);
create index if not exists flight_facts_flight_date on flight_facts (flight_date);

create table if not exists airport_day (
  day date not null,
  airport text not null,
  flights integer not null,
  early_flights integer not null,
  delay_minutes integer not null,
  average_delay numeric(8, 2) not null,
  primary key (day, airport)
);

create table if not exists route_day (
  day date not null,
  origin text not null,
  destination text not null,
  flights integer not null,
  delay_minutes integer not null,
  average_delay numeric(8, 2) not null,
  primary key (day, origin, destination)
);

create table if not exists airport_month (
  month date not null,
  airport text not null,
  flights integer not null,
  delay_minutes integer not null,
  average_delay numeric(8, 2) not null,
  primary key (month, airport)
);

create table if not exists airport_trend (
  day date not null,
  airport text not null,
  days integer not null,
  flights integer not null,
  average_delay numeric(8, 2) not null,
  primary key (day, airport)
);

-- Deferrable, so that one statement may swap the ranks of two airports.
create table if not exists airport_ranking (
  airport text primary key,
  rank integer not null constraint airport_ranking_rank unique deferrable initially immediate,
  flights integer not null,
  average_delay numeric(8, 2) not null,
  note text not null default ''
);
