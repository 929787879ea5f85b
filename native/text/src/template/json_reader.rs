//! JSON as Python's `json.loads` reads it: the order of keys is kept, of equal keys the last value
//! stays, integers are exact, `NaN` and `Infinity` are numbers.

use minijinja::Value;

use crate::ffi::{Failure, Outcome, Status};

const DEEPEST: usize = 512;

/// What was read. Strings are kept apart from other values, since they may be changed before a template gets them.
pub enum Json {
    Scalar(Value),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value for a template, with every string and key as `change` gives it.
    pub fn to_value(&self, change: &mut dyn FnMut(&str, &Json) -> String) -> Value {
        match self {
            Json::Scalar(value) => value.clone(),
            Json::Text(text) => Value::from(change(text, self)),
            Json::Array(items) => Value::from(items.iter().map(|item| item.to_value(change)).collect::<Vec<_>>()),
            Json::Object(members) => {
                let pairs = members.iter().map(|(key, member)| {
                    let key = change(key, self);
                    (Value::from(key), member.to_value(change))
                });
                Value::from_pairs(pairs.collect::<Vec<_>>())
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().rev().find(|(name, _)| name == key).map(|(_, member)| member),
            _ => None,
        }
    }
}

pub fn read(text: &str) -> Outcome<Json> {
    let mut reader = Reader { text, position: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.position < text.len() {
        return Err(reader.wrong("something follows the value"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn wrong(&self, what: &str) -> Failure {
        let line = self.text[..self.position].bytes().filter(|&byte| byte == b'\n').count() + 1;
        Failure::new(Status::InvalidArgument, format!("the JSON is malformed at byte {}: {what}", self.position))
            .at(line)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.position += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Outcome<Json> {
        if depth > DEEPEST {
            return Err(self.wrong(&format!("nested more than {DEEPEST} deep")));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Scalar),
            _ => {
                for (word, value) in [
                    ("null", Value::from(())),
                    ("true", Value::from(true)),
                    ("false", Value::from(false)),
                    ("NaN", Value::from(f64::NAN)),
                    ("Infinity", Value::from(f64::INFINITY)),
                ] {
                    if self.take(word) {
                        return Ok(Json::Scalar(value));
                    }
                }
                Err(self.wrong("a value is wanted"))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Outcome<Json> {
        let mut pairs = Vec::new();
        self.position += 1;
        self.skip_space();
        if !self.take("}") {
            loop {
                self.skip_space();
                if self.peek() != Some(b'"') {
                    return Err(self.wrong("a key in double quotes is wanted"));
                }
                let key = self.string()?;
                self.skip_space();
                if !self.take(":") {
                    return Err(self.wrong("':' is wanted"));
                }
                self.skip_space();
                pairs.push((key, self.value(depth + 1)?));
                self.skip_space();
                if self.take("}") {
                    break;
                }
                if !self.take(",") {
                    return Err(self.wrong("',' or '}' is wanted"));
                }
            }
        }
        Ok(Json::Object(pairs))
    }

    fn array(&mut self, depth: usize) -> Outcome<Json> {
        let mut values = Vec::new();
        self.position += 1;
        self.skip_space();
        if !self.take("]") {
            loop {
                self.skip_space();
                values.push(self.value(depth + 1)?);
                self.skip_space();
                if self.take("]") {
                    break;
                }
                if !self.take(",") {
                    return Err(self.wrong("',' or ']' is wanted"));
                }
            }
        }
        Ok(Json::Array(values))
    }

    fn string(&mut self) -> Outcome<String> {
        self.position += 1;
        let mut out = String::new();
        loop {
            let plain = self.rest().find(['"', '\\']).ok_or_else(|| self.wrong("a string does not end"))?;
            out.push_str(&self.rest()[..plain]);
            self.position += plain + 1;
            if self.text.as_bytes()[self.position - 1] == b'"' {
                return Ok(out);
            }
            let escape = self.peek().ok_or_else(|| self.wrong("a string does not end"))?;
            self.position += 1;
            out.push(match escape {
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode_escape()?,
                _ => {
                    self.position -= 1;
                    return Err(self.wrong("an unknown escape"));
                }
            });
        }
    }

    /// What follows `\u`. Half of a surrogate pair alone, which UTF-8 cannot hold, becomes U+FFFD.
    fn unicode_escape(&mut self) -> Outcome<char> {
        let first = self.four_digits()?;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
            let before = self.position;
            self.position += 2;
            let second = self.four_digits()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.position = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Outcome<u32> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.wrong("four hexadecimal digits are wanted after \\u"))?;
        self.position += 4;
        Ok(code)
    }

    fn number(&mut self) -> Outcome<Value> {
        let start = self.position;
        self.take("-");
        if self.take("Infinity") {
            return Ok(Value::from(f64::NEG_INFINITY));
        }
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits()?;
        if leading_zero && digits > 1 {
            return Err(self.wrong("a number begins with 0"));
        }
        let mut whole = true;
        if self.take(".") {
            whole = false;
            self.digits()?;
        }
        if self.take("e") || self.take("E") {
            whole = false;
            let _ = self.take("+") || self.take("-");
            self.digits()?;
        }
        let text = &self.text[start..self.position];
        if whole {
            if let Ok(value) = text.parse::<i64>() {
                return Ok(Value::from(value));
            }
            if let Ok(value) = text.parse::<i128>() {
                return Ok(Value::from(value));
            }
            return Err(self.wrong("an integer of more than 128 bits"));
        }
        text.parse::<f64>().map(Value::from).map_err(|_| self.wrong("not a number"))
    }

    fn digits(&mut self) -> Outcome<usize> {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start {
            return Err(self.wrong("a digit is wanted"));
        }
        Ok(self.position - start)
    }
}
