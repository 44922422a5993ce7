/** Rules about meaning (catalog/rule.ts) as probes. */
import type { PgColumn } from "drizzle-orm/pg-core";
import { namesOf } from "../catalog/check-of.ts";
import { minorUnits } from "../catalog/currency.ts";
import type { Rule } from "../catalog/rule.ts";
import type { Probe } from "../warehouse/probe.ts";
import { constant, identifier, identifiers, literal, tableName } from "../warehouse/quote.ts";
import { apart, finiteness, instantOf, where } from "./fragment.ts";

type Of<Kind extends Rule["kind"]> = Extract<Rule, { kind: Kind }>;

export function compileRule(rule: Rule): Probe {
  switch (rule.kind) {
    case "currency":
      return currencyProbe(rule);
    case "unmixed":
      return rule.code === undefined ? oneCurrencyProbe(rule) : perCurrencyProbe(rule, rule.code);
    case "timeZone":
      return timeZoneProbe(rule);
    case "completeDays":
      return completeDaysProbe(rule);
    case "category":
      return categoryProbe(rule);
    case "unit":
      return unitProbe(rule);
    case "conversion":
      return conversionProbe(rule);
  }
}

function currencyProbe({ name, severity, code, amounts, unit, also }: Of<"currency">): Probe {
  const units = { ...minorUnits, ...also };
  const reference = identifier(code.name);
  const texts = (codes: readonly string[]) => codes.map(literal).join(", ");
  const digits = [...new Set(Object.values(units))]
    .filter((each) => each !== null)
    .map(
      (each) => `when ${reference} in (${texts(Object.keys(units).filter((key) => units[key] === each))}) then ${each}`,
    );
  const places = unit === "minor" ? "0" : `case ${digits.join(" ")} end`;
  const wrong = amounts.flatMap((amount) => {
    const column = identifier(amount.name);
    const finite = finiteness(amount);
    return [
      `${column} is not null and ${reference} is null`,
      // Of what has no decimals by its type, none can be too many.
      ...(finite === undefined
        ? []
        : [`(${finite}) is false`, `${column}::numeric <> round(${column}::numeric, ${places})`]),
    ];
  });
  const failing = [`(${reference} in (${texts(Object.keys(units))})) is false`, ...wrong];
  const subject =
    amounts.length === 0 ? "" : `, or with decimals in ${namesOf(amounts).join(" or ")} that it does not have`;
  return {
    kind: "row",
    name,
    severity,
    message: `rows with a ${code.name} that is no currency of ISO 4217${subject}`,
    failing: failing.map((each) => `(${each})`).join(" or "),
  };
}

/** Currency by currency, the same sum on both sides. */
function perCurrencyProbe(rule: Of<"unmixed">, code: PgColumn): Probe {
  const { name, severity, column, input, inputColumn, inputCode, tolerance } = rule;
  const sums = (relation: string, codes: PgColumn, amounts: PgColumn, filter: string | undefined) =>
    `(select coalesce(${identifier(codes.name)}::text, 'none') as code, sum(${identifier(amounts.name)}::text::numeric) as amount
  from ${relation}${where(filter)} group by 1)`;
  return {
    kind: "statement",
    name,
    severity,
    message: `currencies whose sum of ${column.name} is not that of ${input}.${inputColumn.name}`,
    about: namesOf([column, code, inputColumn, inputCode]),
    statement: `select coalesce(own.code, given.code) as currency, own.amount as output, given.amount as input
from ${sums("candidate", code, column, rule.where)} own
full join ${sums(identifier(input), inputCode, inputColumn, rule.inputWhere)} given on own.code = given.code
where ${apart("coalesce(own.amount, 0)", "coalesce(given.amount, 0)", tolerance)}`,
  };
}

/** What is added up together is of one currency. */
function oneCurrencyProbe(rule: Of<"unmixed">): Probe {
  const { name, severity, column, input, inputColumn, inputCode, by } = rule;
  const groups = by.map((each) => identifier(each.name));
  const code = identifier(inputCode.name);
  const together = groups.length === 0 ? "" : `partition by ${groups.join(", ")}`;
  const list = [...groups, code].join(", ");
  return {
    kind: "statement",
    name,
    severity,
    message: `currencies that ${column.name} adds up with others`,
    about: namesOf([inputColumn, inputCode, ...by]),
    statement: `select * from (
  select ${list}, count(*) as rows, sum(${identifier(inputColumn.name)}) as amount, count(*) over (${together}) as currencies
  from ${identifier(input)}${where(rule.inputWhere)} group by ${list}) as summed
where currencies > 1`,
  };
}

function timeZoneProbe({ name, severity, column, instant, timeZone }: Of<"timeZone">): Probe {
  const local = `(${instantOf(instant)} at time zone ${literal(timeZone)})::date`;
  return {
    kind: "row",
    name,
    severity,
    message: `rows whose ${column.name} is not the date of ${instant.name} in ${timeZone}`,
    failing: `(${identifier(column.name)}::date = ${local}) is false`,
  };
}

/** Hours are counted from local midnight, so that zones with half hours have whole ones too. */
function completeDaysProbe({ name, severity, instant, timeZone, by }: Of<"completeDays">): Probe {
  const zone = literal(timeZone);
  const groups = by.map((each) => `${identifier(each.name)}, `).join("");
  const joined = by.map(
    (each) => ` and found.${identifier(each.name)} is not distinct from days.${identifier(each.name)}`,
  );
  const midnight = `(date_trunc('day', at_local) at time zone ${zone})`;
  return {
    kind: "statement",
    name,
    severity,
    message: `days of ${timeZone} that do not have all of their hours in ${instant.name}`,
    about: namesOf([instant, ...by]),
    statement: `with local as (
  select ${groups}${instantOf(instant)} as at_utc, ${instantOf(instant)} at time zone ${zone} as at_local
  from candidate where ${identifier(instant.name)} is not null
), found as (
  select ${groups}at_local::date as day, count(distinct floor(extract(epoch from at_utc - ${midnight}) / 3600)) as hours
  from local group by ${groups}at_local::date
), days as (
  select ${groups}generate_series(min(day), max(day), interval '1 day')::date as day from found${groups === "" ? "" : ` group by ${identifiers(namesOf(by))}`}
), lengths as (
  select days.*, ceil(extract(epoch from
    ((day + 1)::timestamp at time zone ${zone}) - (day::timestamp at time zone ${zone})) / 3600)::int as expected_hours
  from days
)
select days.*, coalesce(found.hours, 0) as hours
from lengths as days left join found on found.day = days.day${joined.join("")}
where found.hours is distinct from days.expected_hours`,
  };
}

/** One query for all that can be wrong with a mapping; "problem" says which of it a row is about. */
function categoryProbe(rule: Of<"category">): Probe {
  const { name, severity, column, from, input, inputColumn, mapping } = rule;
  const target = `${identifier(column.name)}::text`;
  const declared =
    "from" in mapping
      ? `select ${identifier(mapping.from.name)}::text as source, ${identifier(mapping.to.name)}::text as target
  from ${tableName(mapping.from.table)}`
      : `select * from (values ${mapping.map((pair) => `(${pair.map(literal).join(", ")})`).join(", ")}) as pairs (source, target)`;
  const parts = [
    `select 'mapped to several' as problem, source as category, null as given, string_agg(distinct target, ', ') as expected, 0::bigint as rows
  from mapping group by source having count(distinct target) > 1`,
  ];
  if (input !== undefined && inputColumn !== undefined) {
    const category = `${identifier(inputColumn.name)}::text`;
    parts.push(`select 'not mapped', ${category}, null, null, count(*) from ${identifier(input)}
  where ${identifier(inputColumn.name)} is not null and ${category} not in (select source from mapping where source is not null)
  group by 2`);
  }
  const source = from === undefined ? undefined : `${identifier(from.name)}::text`;
  parts.push(
    source === undefined
      ? `select 'not in the mapping', null, ${target}, null, count(*) from candidate
  where ${target} not in (select target from mapping where target is not null) group by 3`
      : `select 'mapped wrongly', source, given, (select min(target) from mapping where mapping.source = own.source), rows
  from (select ${source} as source, ${target} as given, count(*) as rows from candidate where ${source} is not null group by 1, 2) own
  where not exists (select from mapping where mapping.source = own.source and mapping.target is not distinct from own.given)`,
  );
  return {
    kind: "statement",
    name,
    severity,
    message: `categories of ${column.name} that are not mapped as declared`,
    about: namesOf([column, from, inputColumn].filter((each) => each !== undefined)),
    statement: `with mapping as (${declared})\n${parts.join("\nunion all\n")}`,
  };
}

function unitProbe({ name, severity, column, unit, min, max, whole }: Of<"unit">): Probe {
  const reference = identifier(column.name);
  const finite = finiteness(column);
  const conditions = [
    ...(min === undefined ? [] : [`${reference} >= ${constant(min)}`]),
    ...(max === undefined ? [] : [`${reference} <= ${constant(max)}`]),
    ...(finite === undefined ? [] : [finite]),
    ...(whole === true && finite !== undefined ? [`${reference}::numeric = trunc(${reference}::numeric)`] : []),
  ];
  const bounds = `${min ?? "-∞"} to ${max ?? "∞"}`;
  return {
    kind: "row",
    name,
    severity,
    message: `rows with ${column.name} impossible as ${unit} (${bounds}${whole === true ? ", whole" : ""})`,
    failing: conditions.length === 0 ? "false" : `(${conditions.join(" and ")}) is false`,
  };
}

function conversionProbe(rule: Of<"conversion">): Probe {
  const { name, severity, column, of, factor, offset, tolerance } = rule;
  const number = (each: PgColumn) => `${identifier(each.name)}::text::numeric`;
  const expected = `(${number(of)} * ${constant(factor)} + ${constant(offset)})`;
  return {
    kind: "row",
    name,
    severity,
    message: `rows whose ${column.name} is not ${of.name} × ${factor}${offset === 0 ? "" : ` + ${offset}`}`,
    failing: `(${apart(number(column), expected, tolerance)}) is true`,
  };
}
