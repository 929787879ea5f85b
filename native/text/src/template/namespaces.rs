//! `namespace()`: the only value that a template changes. None comes to hold itself, for what goes through a value, to
//! print it or to free it, ends.

use minijinja::{Error, State, Value};

use super::objects::{BoundMethod, Cycler, DictView, Group, Joiner};
use super::operators::wrong;
use super::python::is_plain;

pub fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

/// The value that a namespace's attribute is set to.
pub fn held(state: &State, value: Value) -> Result<Value, Error> {
    let mut open = vec![value.clone()];
    let mut n_seen = 0u64;
    while let Some(next) = open.pop() {
        n_seen += 1;
        if n_seen.is_multiple_of(8) {
            state.consume_fuel(1)?;
        }
        if is_namespace(&next) {
            return Err(wrong("a namespace cannot hold a namespace"));
        }
        if let Some(group) = next.downcast_object_ref::<Group>() {
            open.push(group.grouper.clone());
            open.extend(group.list.iter().cloned());
        } else if let Some(view) = next.downcast_object_ref::<DictView>() {
            open.extend(view.items.iter().cloned());
        } else if let Some(method) = next.downcast_object_ref::<BoundMethod>() {
            open.push(method.receiver.clone());
        } else if let Some(cycler) = next.downcast_object_ref::<Cycler>() {
            open.extend(cycler.items.iter().cloned());
        } else if let Some(joiner) = next.downcast_object_ref::<Joiner>() {
            open.push(joiner.separator.clone());
        } else if is_plain(&next) {
            for item in next.try_iter()? {
                if next.kind() == minijinja::value::ValueKind::Map {
                    open.push(next.get_item(&item)?);
                }
                open.push(item);
            }
        }
    }
    Ok(value)
}
