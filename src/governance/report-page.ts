/**
 * The readable page of an evidence bundle: one HTML file without scripts, for the screen and for paper. Everything that
 * comes from data is escaped; the page itself may load nothing.
 */

/** A table of the page; `note` says what is not shown. */
export interface ReportTable {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
  readonly note?: string | undefined;
}

export interface ReportPage {
  readonly title: string;
  /** What the page is about, line by line. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly tables: readonly ReportTable[];
  readonly closing: readonly string[];
}

const style = `
  body { font: 14px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #999; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; } dt { font-weight: 600; } dd { margin: 0; }
  table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .25rem .5rem;
  border: 1px solid #ccc; overflow-wrap: anywhere; } th { background: #f2f2f2; } .note { color: #555; }
  @page { size: A4 landscape; margin: 15mm; }
  @media print { body { font-size: 9pt; max-width: none; margin: 0; padding: 0; } thead { display: table-header-group; }
  tr { break-inside: avoid; } h2 { break-after: avoid; } th { background: none; } }`;

export function reportPage({ title, facts, tables, closing }: ReportPage): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<dl>
${facts.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`).join("\n")}
</dl>
${tables.map(tableHtml).join("\n")}
${closing.map((line) => `<p class="note">${escapeHtml(line)}</p>`).join("\n")}
</body>
</html>
`;
}

function tableHtml({ title, header, rows, note }: ReportTable): string {
  const head = header.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join("");
  const body = rows.map(
    (row) => `<tr>${row.map((cell) => `<td>${escapeHtml(String(cell ?? ""))}</td>`).join("")}</tr>`,
  );
  return [
    `<h2>${escapeHtml(title)}</h2>`,
    rows.length === 0
      ? '<p class="note">None.</p>'
      : `<table><thead><tr>${head}</tr></thead><tbody>\n${body.join("\n")}\n</tbody></table>`,
    ...(note === undefined ? [] : [`<p class="note">${escapeHtml(note)}</p>`]),
  ].join("\n");
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
