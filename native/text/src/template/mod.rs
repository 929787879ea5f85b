//! Chat templates: Jinja as Python's jinja2 renders it in the environment of transformers.

mod environment;
mod ffi;
mod filters;
mod json_reader;
mod lower;
mod methods;
mod namespaces;
mod objects;
mod operators;
mod origins;
mod python;
mod source;
mod special;
mod str_methods;
mod strftime;
mod tojson;
mod translate;

use std::io;
use std::sync::OnceLock;

use minijinja::value::merge_maps;
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::ffi::{Failure, Outcome, Status};
use environment::{FIXED_DATE, RAISED};
use json_reader::Json;
use origins::{Again, Marks};
use special::{Occurrence, Specials};

const NAME: &str = "template";
/// Limits that hold whatever is asked for, in bytes.
const MOST_SOURCE_BYTES: usize = 1 << 20;
const MOST_JSON_BYTES: usize = 16 << 20;
const MOST_OUTPUT_BYTES: usize = 32 << 20;

/// A parsed template. Renderings do not change it; several may go on at once.
pub struct Template {
    environment: Environment<'static>,
    source: String,
    specials: Specials,
    /// The template with marks, once it was needed. Marks that occur in the variables take another.
    marked: OnceLock<(Environment<'static>, Marks)>,
}

/// A rendering, and the byte ranges of it in which no special token may be recognised.
pub struct Rendering {
    pub text: String,
    pub origins: Vec<Occurrence>,
}

impl Template {
    /// `specials` are texts of special tokens; texts that are not UTF-8 are nobody's.
    pub fn open<'a>(source: &[u8], specials: impl Iterator<Item = &'a [u8]>) -> Outcome<Self> {
        if source.len() > MOST_SOURCE_BYTES {
            return Err(too_large("the template", source.len(), MOST_SOURCE_BYTES));
        }
        let source = source::prepare(text(source, "the template")?)?;
        let environment = compile(&source, None)?;
        let specials = Specials::new(specials.filter_map(|special| std::str::from_utf8(special).ok()));
        Ok(Template { environment, source, specials, marked: OnceLock::new() })
    }

    /// Renders with the members of a JSON object as variables. `now` is in seconds of local time since 1970.
    pub fn render(&self, json: &[u8], now: i64) -> Outcome<Rendering> {
        if json.len() > MOST_JSON_BYTES {
            return Err(too_large("the JSON", json.len(), MOST_JSON_BYTES));
        }
        let json = text(json, "the JSON")?;
        let variables = json_reader::read(json)?;
        if !matches!(variables, Json::Object(_)) {
            return Err(Failure::new(Status::InvalidArgument, "the JSON of the variables is not an object"));
        }
        environment::NOW.set(now);
        let request = Request { template: self, json, variables: &variables };
        let text = request.render(&self.environment, request.plain())?;
        let origins = if self.specials.is_empty() {
            Vec::new()
        } else {
            origins::origins(&text, &variables, &self.specials, &request)
        };
        Ok(Rendering { text, origins })
    }
}

fn compile(source: &str, marks: Option<(&Specials, Marks)>) -> Outcome<Environment<'static>> {
    let mut environment = environment::environment();
    let lowered = lower::lower(NAME, source, environment::syntax(true, false), marks)?;
    environment.add_template_owned(NAME, lowered).map_err(failure_of)?;
    Ok(environment)
}

/// A rendering that may have to be done again.
struct Request<'a> {
    template: &'a Template,
    json: &'a str,
    variables: &'a Json,
}

impl Request<'_> {
    fn plain(&self) -> Value {
        self.variables.to_value(&mut |text, _| text.to_owned())
    }

    fn render(&self, environment: &Environment, variables: Value) -> Outcome<String> {
        let mut environment = environment.clone();
        environment.set_fuel(Some(environment::fuel(self.json.len())));
        let mut variables = variables;
        if let Some(date @ Json::Text(_)) = self.variables.get(FIXED_DATE) {
            let date = date.to_value(&mut |text, _| text.to_owned());
            let fixed = Value::from_function(move |_: &str| date.clone());
            variables = merge_maps([variables, Value::from_pairs([(FIXED_DATE, fixed)])]);
        }
        let mut output = Output { bytes: Vec::new(), overflow: false };
        let template = environment.get_template(NAME).map_err(failure_of)?;
        let outcome = template.render_captured_to(variables, &mut output).map(|_| ());
        if output.overflow {
            let message = format!("the output is larger than {MOST_OUTPUT_BYTES} bytes");
            return Err(Failure::new(Status::Template, message));
        }
        outcome.map_err(failure_of)?;
        String::from_utf8(output.bytes).map_err(|_| Failure::new(Status::Internal, "the output is not UTF-8"))
    }
}

impl Again for Request<'_> {
    fn with_marked_template(&self) -> Outcome<(String, Marks)> {
        let Template { source, specials, marked, .. } = self.template;
        let unused = |marks: &Marks| !self.json.contains([marks.whole, marks.piece]);
        if let Some((environment, marks)) = marked.get().filter(|(_, marks)| unused(marks)) {
            return Ok((self.render(environment, self.plain())?, *marks));
        }
        let none = || Failure::new(Status::Internal, "no character is left for marks");
        let texts = [self.json, source.as_str()];
        let mut free = origins::free_marks(&texts);
        let marks = Marks { whole: free.next().ok_or_else(none)?, piece: free.next().ok_or_else(none)? };
        let environment = compile(source, Some((specials, marks)))?;
        let text = self.render(&environment, self.plain())?;
        let _ = marked.set((environment, marks)); // by the first of those that come at once
        Ok((text, marks))
    }

    fn with_variables(&self, variables: Value) -> Outcome<String> {
        self.render(&self.template.environment, variables)
    }

    fn mark(&self) -> Option<char> {
        origins::free_marks(&[self.json, self.template.source.as_str()]).next()
    }
}

struct Output {
    bytes: Vec<u8>,
    overflow: bool,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MOST_OUTPUT_BYTES {
            self.overflow = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large(what: &str, size: usize, most: usize) -> Failure {
    Failure::new(Status::InvalidArgument, format!("{what} has {size} bytes; at most {most} are read"))
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Outcome<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| {
        Failure::new(Status::InvalidArgument, format!("{what} is not UTF-8 at byte {}", error.valid_up_to()))
    })
}

/// What the engine reports, in words: of what the template raised itself, its words alone.
fn failure_of(error: Error) -> Failure {
    let detail = error.detail().unwrap_or_default();
    let message = match (detail.strip_prefix(RAISED), error.kind()) {
        (Some(raised), _) => raised.to_owned(),
        (None, ErrorKind::OutOfFuel) => "the template does too much: it was stopped".to_owned(),
        (None, kind) if detail.is_empty() => kind.to_string(),
        (None, kind) => format!("{kind}: {detail}"),
    };
    Failure::new(Status::Template, message).at(error.line().unwrap_or(0))
}
