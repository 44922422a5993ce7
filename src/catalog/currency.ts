/**
 * The active codes of ISO 4217 by the decimal places of their minor unit. Withdrawn codes are named by those whose data
 * is old enough to have them.
 */
const codesByDigits: Readonly<Record<number, string>> = {
  0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
  2:
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW " +
    "CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR " +
    "ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV " +
    "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD " +
    "SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
  3: "BHD IQD JOD KWD LYD OMR TND",
  4: "CLF UYW",
};

/** Metals and units of account have no minor unit, so any number of decimals is right. */
const codesWithoutDigits = "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XUA";

/** Decimal places of the minor unit by code; null where there is none. XXX and XTS stand for no currency at all. */
export const minorUnits: Readonly<Record<string, number | null>> = Object.freeze(
  Object.fromEntries([
    ...Object.entries(codesByDigits).flatMap(([digits, codes]) =>
      codes.split(" ").map((code) => [code, Number(digits)]),
    ),
    ...codesWithoutDigits.split(" ").map((code) => [code, null]),
  ]),
);
