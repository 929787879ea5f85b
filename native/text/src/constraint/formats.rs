//! Formats of strings as regular expressions. Each allows a part of what its specification does, on which validators
//! agree: they differ in lengths, punycode, leap seconds, large offsets, top-level domains and rare
//! forms.

/// What `pattern()` knows, for messages.
pub const KNOWN: &str = "date, time, date-time, duration, email, hostname, ipv4, ipv6, uuid, uri";

const DATE: &str = concat!(
    "(?:(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:",
    "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|",
    "02-(?:0[1-9]|1[0-9]|2[0-8]))|",
    // Leap years.
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)",
);
const TIME: &str = concat!(
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?",
    // Offsets up to 18 hours, as java.time has them; -00:00 would be a time at an unknown place.
    "(?:Z|[+-](?:0[1-9]|1[0-7]):[0-5][0-9]|\\+00:[0-5][0-9]|-00:(?:0[1-9]|[1-5][0-9]))",
);
/// Of at most 61 characters, where 63 are allowed.
const LABEL: &str = "[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,30}";
const LAST_LABEL: &str = "[a-zA-Z](?:-?[a-zA-Z0-9]){0,30}";
const BYTE: &str = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const ATOM: &str = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}";
/// Top-level domains of countries and the general ones that every list of them has.
const TOP_DOMAIN: &str = concat!(
    "(?:com|org|net|edu|gov|int|mil|info|biz|name|pro|app|dev|a[cdefgilmoqrstuwxz]|b[abdefghijmnorstvwyz]|",
    "c[acdfghiklmnoruvwxyz]|d[ejkmoz]|e[cegrstu]|f[ijkmor]|g[abdefghilmnpqrstuwy]|h[kmnrtu]|i[delmnoqrst]|j[emop]|",
    "k[eghimnprwyz]|l[abcikrstuvy]|m[acdeghklmnopqrstuvwxyz]|n[acefgilopruz]|om|p[aefghklmnrstwy]|qa|r[eosuw]|",
    "s[abcdeghijklmnorstuvxyz]|t[cdfghjklmnortvwz]|u[agksyz]|v[aceginu]|w[fs]|y[et]|z[amw])",
);
/// A character of a path (RFC 3986).
const PCHAR: &str = "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})";

/// The pattern of a format's strings, anchored.
pub fn pattern(format: &str) -> Option<String> {
    let pattern = match format {
        "date" => DATE.to_owned(),
        "time" => TIME.to_owned(),
        "date-time" => format!("{DATE}T{TIME}"),
        "duration" => {
            let n = "[0-9]{1,9}";
            let date = format!("{n}Y(?:{n}M(?:{n}D)?)?|{n}M(?:{n}D)?|{n}D");
            let time = format!("T(?:{n}H(?:{n}M(?:{n}S)?)?|{n}M(?:{n}S)?|{n}S)");
            format!("P(?:(?:{date})(?:{time})?|{time}|{n}W)")
        }
        "hostname" => format!("(?:{LABEL}\\.){{0,3}}{LAST_LABEL}"),
        "email" => format!("{ATOM}(?:\\.{ATOM}){{0,2}}@(?:{LABEL}\\.){{1,3}}{TOP_DOMAIN}"),
        "ipv4" => format!("(?:{BYTE}\\.){{3}}{BYTE}"),
        "ipv6" => {
            let hex = "[0-9a-fA-F]{1,4}";
            let mut forms = vec![format!("(?:{hex}:){{7}}{hex}")];
            for before in 0..=6 {
                let first = if before == 0 { String::new() } else { format!("{hex}(?::{hex}){{0,{}}}", before - 1) };
                let last = 6 - before;
                // At most six groups around the ::, which stands for two or more.
                forms.push(if last == 0 {
                    format!("{first}::")
                } else {
                    format!("{first}::(?:{hex}(?::{hex}){{0,{}}})?", last - 1)
                });
            }
            forms.join("|")
        }
        "uuid" => "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}".to_owned(),
        "uri" => {
            let host = format!("(?:{LABEL}\\.){{0,3}}{LAST_LABEL}");
            let path = format!("(?:/{PCHAR}*)*");
            let rest = format!("(?:\\?(?:{PCHAR}|[/?])*)?(?:\\#(?:{PCHAR}|[/?])*)?");
            format!("[a-zA-Z][a-zA-Z0-9+.-]*:(?://{host}(?::[0-9]{{1,4}})?{path}|{PCHAR}+{path}){rest}")
        }
        _ => return None,
    };
    Some(format!("^(?:{pattern})$"))
}
