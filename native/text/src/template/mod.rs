//! Chat templates: Jinja as Python's jinja2 renders it in the environment of transformers.

mod environment;
mod ffi;
mod filters;
mod json_reader;
mod lower;
mod methods;
mod objects;
mod operators;
mod python;
mod source;
mod str_methods;
mod strftime;
mod tojson;

use std::io;

use minijinja::{Environment, Error, ErrorKind, Value};

use crate::ffi::{Failure, Outcome, Status};
use environment::RAISED;

const NAME: &str = "template";
/// Limits that hold whatever is asked for, in bytes.
const MOST_SOURCE_BYTES: usize = 1 << 20;
const MOST_JSON_BYTES: usize = 16 << 20;
const MOST_OUTPUT_BYTES: usize = 32 << 20;

/// A parsed template. Renderings do not change it; several may go on at once.
pub struct Template {
    environment: Environment<'static>,
}

impl Template {
    pub fn open(source: &[u8]) -> Outcome<Self> {
        if source.len() > MOST_SOURCE_BYTES {
            return Err(too_large("the template", source.len(), MOST_SOURCE_BYTES));
        }
        let source = text(source, "the template")?;
        let mut environment = environment::environment();
        let lowered = lower::lower(NAME, &source::prepare(source), environment::syntax(true, false));
        environment.add_template_owned(NAME, lowered.map_err(failure_of)?).map_err(failure_of)?;
        Ok(Template { environment })
    }

    /// Renders with the members of a JSON object as variables. `now` is in seconds of local time since 1970.
    pub fn render(&self, json: &[u8], now: i64) -> Outcome<String> {
        if json.len() > MOST_JSON_BYTES {
            return Err(too_large("the JSON", json.len(), MOST_JSON_BYTES));
        }
        let variables = json_reader::read(text(json, "the JSON")?)?;
        if variables.kind() != minijinja::value::ValueKind::Map {
            return Err(Failure::new(Status::InvalidArgument, "the JSON of the variables is not an object"));
        }
        environment::NOW.set(now);
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(environment::fuel(json.len())));
        render(&environment, environment::with_fixed_date(variables))
    }
}

fn render(environment: &Environment, variables: Value) -> Outcome<String> {
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
