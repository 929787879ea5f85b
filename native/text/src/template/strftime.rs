//! `strftime` in the C locale over seconds of local time.

use std::fmt::Write as _;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

struct Moment {
    year: i64,
    month: i64,    // 1 to 12
    day: i64,      // 1 to 31
    year_day: i64, // 0 to 365
    week_day: i64, // 0 is Sunday
    second: i64,   // of the day
}

/// From seconds since 1970-01-01T00:00, by the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible low-level
/// date algorithms").
fn moment(seconds: i64) -> Moment {
    let days = seconds.div_euclid(86400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_march_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_march_year + 2) / 153;
    let day = day_of_march_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let leap = i64::from((year % 4 == 0 && year % 100 != 0) || year % 400 == 0);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][(month - 1) as usize];
    Moment {
        year,
        month,
        day,
        year_day: before + day - 1 + if month > 2 { leap } else { 0 },
        week_day: (days + 4).rem_euclid(7),
        second: seconds.rem_euclid(86400),
    }
}

/// Fails where the format asks for more text than `most_bytes`. What is no directive of C's is copied, as glibc does.
pub fn strftime(format: &str, seconds: i64, most_bytes: usize) -> Option<String> {
    let now = moment(seconds);
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() > most_bytes {
            return None;
        }
        if c != '%' {
            out.push(c);
            continue;
        }
        let flag = chars.next_if(|c| matches!(c, '-' | '_' | '0' | '^'));
        let Some(directive) = chars.next() else {
            out.push('%');
            out.extend(flag);
            break;
        };
        field(&now, flag, directive, seconds, &mut out);
    }
    Some(out)
}

fn field(now: &Moment, flag: Option<char>, directive: char, seconds: i64, out: &mut String) {
    let hour = now.second / 3600;
    let minute = now.second / 60 % 60;
    let second = now.second % 60;
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut number = |value: i64, width: usize, pad: char| {
        let _ = match flag.unwrap_or(pad) {
            '-' => write!(out, "{value}"),
            '_' => write!(out, "{value:width$}"),
            _ => write!(out, "{value:0width$}"),
        };
    };
    match directive {
        'Y' => number(now.year, 1, '0'),
        'C' => number(now.year.div_euclid(100), 2, '0'),
        'y' => number(now.year.rem_euclid(100), 2, '0'),
        'm' => number(now.month, 2, '0'),
        'd' => number(now.day, 2, '0'),
        'e' => number(now.day, 2, '_'),
        'H' => number(hour, 2, '0'),
        'k' => number(hour, 2, '_'),
        'I' => number(hour12, 2, '0'),
        'l' => number(hour12, 2, '_'),
        'M' => number(minute, 2, '0'),
        'S' => number(second, 2, '0'),
        'f' => number(0, 6, '0'),
        'j' => number(now.year_day + 1, 3, '0'),
        's' => number(seconds, 1, '0'),
        'u' => number(if now.week_day == 0 { 7 } else { now.week_day }, 1, '0'),
        'w' => number(now.week_day, 1, '0'),
        'U' => number((now.year_day + 7 - now.week_day) / 7, 2, '0'),
        'W' => number((now.year_day + 7 - (now.week_day + 6) % 7) / 7, 2, '0'),
        'G' => number(iso_week(now).0, 1, '0'),
        'g' => number(iso_week(now).0.rem_euclid(100), 2, '0'),
        'V' => number(iso_week(now).1, 2, '0'),
        _ => {
            let text = match directive {
                'a' => DAYS[now.week_day as usize][..3].to_owned(),
                'A' => DAYS[now.week_day as usize].to_owned(),
                'b' | 'h' => MONTHS[now.month as usize - 1][..3].to_owned(),
                'B' => MONTHS[now.month as usize - 1].to_owned(),
                'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
                'P' => if hour < 12 { "am" } else { "pm" }.to_owned(),
                'n' => "\n".to_owned(),
                't' => "\t".to_owned(),
                '%' => "%".to_owned(),
                'z' | 'Z' => String::new(), // a naive datetime has none
                'D' | 'x' => format!("{:02}/{:02}/{:02}", now.month, now.day, now.year.rem_euclid(100)),
                'F' => format!("{}-{:02}-{:02}", now.year, now.month, now.day),
                'R' => format!("{hour:02}:{minute:02}"),
                'T' | 'X' => format!("{hour:02}:{minute:02}:{second:02}"),
                'r' => format!("{hour12:02}:{minute:02}:{second:02} {}", if hour < 12 { "AM" } else { "PM" }),
                'c' => format!(
                    "{} {} {:2} {hour:02}:{minute:02}:{second:02} {}",
                    &DAYS[now.week_day as usize][..3],
                    &MONTHS[now.month as usize - 1][..3],
                    now.day,
                    now.year
                ),
                other => {
                    let mut text = String::from("%");
                    text.extend(flag);
                    text.push(other);
                    text
                }
            };
            if flag == Some('^') {
                out.push_str(&text.to_uppercase());
            } else {
                out.push_str(&text);
            }
        }
    }
}

/// ISO 8601 year and week.
fn iso_week(now: &Moment) -> (i64, i64) {
    let monday_based = (now.week_day + 6) % 7;
    let week = (now.year_day - monday_based + 10) / 7;
    let weeks_of = |year: i64| {
        let last = |year: i64| (year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)).rem_euclid(7);
        if last(year) == 4 || last(year - 1) == 3 {
            53
        } else {
            52
        }
    };
    if week < 1 {
        (now.year - 1, weeks_of(now.year - 1))
    } else if week > weeks_of(now.year) {
        (now.year + 1, 1)
    } else {
        (now.year, week)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_those_of_c() {
        let at = |text, seconds| strftime(text, seconds, 1000).unwrap();
        let sunday = 1_785_024_000 + 13 * 3600 + 5 * 60 + 9; // 2026-07-26
        assert_eq!("26 Jul 2026", at("%d %b %Y", sunday));
        assert_eq!("2026-07-26 13:05:09", at("%Y-%m-%d %H:%M:%S", sunday));
        assert_eq!("Sunday, July 26, 2026, 01:05 PM", at("%A, %B %d, %Y, %I:%M %p", sunday));
        assert_eq!("7/26/26 207 29 30 30 7", at("%-m/%-d/%y %j %W %U %V %u", sunday));
        assert_eq!("2020 53", at("%G %V", 1_609_459_200)); // 2021-01-01
        assert_eq!("1969-12-31", at("%Y-%m-%d", -1));
        assert_eq!("2000-02-29 060", at("%F %j", 951_782_400));
        assert_eq!("%q 100% %", at("%q 100%% %", sunday));
    }
}
