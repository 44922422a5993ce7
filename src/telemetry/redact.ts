/**
 * Takes secrets out of text before it leaves the process: credentials in URLs, API tokens, Authorization values and
 * passwords in connection strings. Logs and problem documents pass through here whole, so nothing depends on each
 * author of a message being careful.
 */

const rules: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // scheme://user:password@host, with or without the user, up to the last @ before the path
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s"'`<>/?#@]*:[^\s"'`<>/?#]*@/gi, "$1[redacted]@"],
  // API tokens keep their prefix, which is not secret and tells which one it was
  [/\b(rdv_[0-9a-f]{8})_[A-Za-z0-9_-]{20,}/g, "$1_[redacted]"],
  [/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, "$1 [redacted]"],
  // password=… of a libpq connection string or a query string; quotes may be escaped inside JSON
  [/\b(password|passwd|pwd|secret|access_token|api_key)=[^\s&"'\\,;)]+/gi, "$1=[redacted]"],
];

export function redactText(text: string): string {
  return rules.reduce((clean, [pattern, replacement]) => clean.replace(pattern, replacement), text);
}
