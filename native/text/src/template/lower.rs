//! A template as minijinja parsed it, written down again with calls of `operators.rs` in the place of operations that
//! Python does otherwise: what such an operation is applied to is known only when it is rendered.
//!
//! Every statement is on the line that it was on.

use std::borrow::Cow;

use minijinja::machinery::{ast, parse, Span};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::failure_of;
use super::methods::is_method;
use super::origins::{marked, Marks};
use super::python::float_repr;
use super::special::Specials;
use crate::ffi::Outcome;

/// What the names of the functions in `operators.rs` begin with; no name of a template's may.
pub const PREFIX: &str = "__reprise_";

/// `marks`: what special tokens are marked with in strings that are rendered (see `origins.rs`); None leaves them.
pub fn lower(name: &str, source: &str, syntax: SyntaxConfig, marks: Option<(&Specials, Marks)>) -> Outcome<String> {
    let tree = parse(source, name, syntax).map_err(failure_of)?;
    let mut writer = Writer { out: String::with_capacity(source.len() * 2), line: 1, at: 1, marks, rendered: true };
    writer.statement(&tree).map_err(|error| failure_of(error).at(writer.at.into()))?;
    Ok(writer.out)
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::SyntaxError, message.into())
}

struct Writer<'a> {
    out: String,
    line: u16,
    /// The line of the statement that is being written.
    at: u16,
    marks: Option<(&'a Specials, Marks)>,
    /// Whether the value of the expression that is being written may be rendered, rather than only looked at.
    rendered: bool,
}

impl Writer<'_> {
    /// Writes what is only looked at.
    fn unrendered(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.rendered, false);
        let outcome = write(self);
        self.rendered = before;
        outcome
    }

    /// A text of the template's, with marks in its special tokens.
    fn with_marks<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some((specials, marks)) = self.marks.filter(|_| self.rendered) else {
            return Cow::Borrowed(text);
        };
        let whole = specials.find(text).into_iter().map(|found| (found, marks.whole));
        let pieces = specials.pieces(text).into_iter().map(|found| (found, marks.piece));
        Cow::Owned(marked(text, whole.chain(pieces)))
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Begins a tag whose content is on the line of the span.
    fn open(&mut self, tag: &str, span: Span) {
        self.put(tag);
        self.at = span.start_line;
        while self.line < span.start_line {
            self.out.push('\n');
            self.line += 1;
        }
        self.put(" ");
    }

    fn end(&mut self, name: &str) {
        self.put("{% ");
        self.put(name);
        self.put(" %}");
    }

    fn body(&mut self, statements: &[ast::Stmt]) -> Result<(), Error> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &ast::Stmt) -> Result<(), Error> {
        match statement {
            ast::Stmt::Template(template) => self.body(&template.children)?,
            ast::Stmt::EmitExpr(emit) => {
                self.open("{{", emit.span());
                self.expression(&emit.expr)?;
                self.put(" }}");
            }
            ast::Stmt::EmitRaw(emit) => self.raw(emit.raw),
            ast::Stmt::ForLoop(each) => {
                self.open("{%", each.span());
                self.put("for ");
                self.target(&each.target)?;
                self.put(" in ");
                self.call("iter", &[&each.iter])?;
                if let Some(filter) = &each.filter_expr {
                    self.put(" if ");
                    self.unrendered(|writer| writer.operand(filter))?;
                }
                self.put(if each.recursive { " recursive %}" } else { " %}" });
                self.body(&each.body)?;
                if !each.else_body.is_empty() {
                    self.end("else");
                    self.body(&each.else_body)?;
                }
                self.end("endfor");
            }
            ast::Stmt::IfCond(condition) => self.condition(condition)?,
            ast::Stmt::WithBlock(with) => {
                self.open("{%", with.span());
                self.put("with ");
                for (index, (target, value)) in with.assignments.iter().enumerate() {
                    self.put(if index > 0 { ", " } else { "" });
                    self.target(target)?;
                    self.put(" = ");
                    self.operand(value)?;
                }
                self.put(" %}");
                self.body(&with.body)?;
                self.end("endwith");
            }
            ast::Stmt::Set(set) => {
                self.open("{%", set.span());
                self.put("set ");
                self.target(&set.target)?;
                self.put(" = ");
                if sets_attribute(&set.target) {
                    self.call("held", &[&set.expr])?;
                } else {
                    self.expression(&set.expr)?;
                }
                self.put(" %}");
            }
            ast::Stmt::SetBlock(set) => {
                self.open("{%", set.span());
                self.put("set ");
                self.target(&set.target)?;
                if let Some(filter) = &set.filter {
                    self.put(" | ");
                    self.filters(filter)?;
                }
                self.put(" %}");
                self.body(&set.body)?;
                self.end("endset");
            }
            ast::Stmt::AutoEscape(escape) => {
                self.open("{%", escape.span());
                self.put("autoescape ");
                self.expression(&escape.enabled)?;
                self.put(" %}");
                self.body(&escape.body)?;
                self.end("endautoescape");
            }
            ast::Stmt::FilterBlock(block) => {
                self.open("{%", block.span());
                self.put("filter ");
                self.filters(&block.filter)?;
                self.put(" %}");
                self.body(&block.body)?;
                self.end("endfilter");
            }
            ast::Stmt::Block(block) => {
                self.open("{%", block.span());
                self.put("block ");
                self.put(block.name);
                self.put(if block.required { " required %}" } else { " %}" });
                self.body(&block.body)?;
                self.end("endblock");
            }
            ast::Stmt::Macro(declared) => {
                self.open("{%", declared.span());
                self.put("macro ");
                self.put(declared.name);
                self.macro_body(declared)?;
                self.end("endmacro");
            }
            ast::Stmt::CallBlock(block) => {
                self.open("{%", block.span());
                self.put("call");
                self.parameters(&block.macro_decl)?;
                self.put(" ");
                self.callee(&block.call)?;
                self.put(" %}");
                self.defaults(&block.macro_decl)?;
                self.body(&block.macro_decl.body)?;
                self.end("endcall");
            }
            ast::Stmt::Continue(control) => self.open_word("continue", control.span()),
            ast::Stmt::Break(control) => self.open_word("break", control.span()),
            ast::Stmt::Import(import) => self.no_loader(import.span()),
            ast::Stmt::FromImport(import) => self.no_loader(import.span()),
            ast::Stmt::Extends(extends) => self.no_loader(extends.span()),
            ast::Stmt::Include(include) => self.no_loader(include.span()),
            ast::Stmt::Do(call) => {
                self.at = call.span().start_line;
                return Err(malformed("unknown tag 'do'"));
            }
        }
        Ok(())
    }

    fn open_word(&mut self, word: &str, span: Span) {
        self.open("{%", span);
        self.put(word);
        self.put(" %}");
    }

    /// There are no other templates to name.
    fn no_loader(&mut self, span: Span) {
        self.open("{{", span);
        self.put(PREFIX);
        self.put("no_loader() }}");
    }

    /// Text is written as it is, or as a string where a brace could begin a tag.
    fn raw(&mut self, text: &str) {
        let text = &*self.with_marks(text);
        if text.contains('{') {
            self.put("{{ ");
            self.string(text);
            self.put(" }}");
        } else {
            self.line = self.line.saturating_add(text.matches('\n').count().try_into().unwrap_or(u16::MAX));
            self.put(text);
        }
    }

    fn condition(&mut self, condition: &ast::Spanned<ast::IfCond>) -> Result<(), Error> {
        self.open("{%", condition.span());
        self.put("if ");
        let mut current = condition;
        loop {
            self.unrendered(|writer| writer.expression(&current.expr))?;
            self.put(" %}");
            self.body(&current.true_body)?;
            match &current.false_body[..] {
                [] => break,
                [ast::Stmt::IfCond(next)] => {
                    self.open("{%", next.span());
                    self.put("elif ");
                    current = next;
                }
                otherwise => {
                    self.end("else");
                    self.body(otherwise)?;
                    break;
                }
            }
        }
        self.end("endif");
        Ok(())
    }

    fn macro_body(&mut self, declared: &ast::Macro) -> Result<(), Error> {
        self.parameters(declared)?;
        self.put(" %}");
        self.defaults(declared)?;
        self.body(&declared.body)
    }

    fn parameters(&mut self, declared: &ast::Macro) -> Result<(), Error> {
        self.put("(");
        let first_default = declared.args.len() - declared.defaults.len().min(declared.args.len());
        for (index, parameter) in declared.args.iter().enumerate() {
            self.put(if index > 0 { ", " } else { "" });
            self.target(parameter)?;
            if let Some(default) = index.checked_sub(first_default).and_then(|index| declared.defaults.get(index)) {
                self.put("=");
                match default {
                    ast::Expr::Const(_) => self.expression(default)?,
                    _ => {
                        self.put(PREFIX);
                        self.put("undefined");
                    }
                }
            }
        }
        self.put(")");
        Ok(())
    }

    /// Defaults that are no constants: they may name parameters before them.
    fn defaults(&mut self, declared: &ast::Macro) -> Result<(), Error> {
        let first_default = declared.args.len() - declared.defaults.len().min(declared.args.len());
        for (parameter, default) in declared.args[first_default..].iter().zip(&declared.defaults) {
            if matches!(default, ast::Expr::Const(_)) {
                continue;
            }
            self.put("{% if ");
            self.target(parameter)?;
            self.put(" is undefined %}{% set ");
            self.target(parameter)?;
            self.put(" = ");
            self.expression(default)?;
            self.put(" %}{% endif %}");
        }
        Ok(())
    }

    /// What is assigned to.
    fn target(&mut self, target: &ast::Expr) -> Result<(), Error> {
        match target {
            ast::Expr::Var(variable) => self.name(variable.id),
            ast::Expr::GetAttr(attribute) => {
                self.target(&attribute.expr)?;
                self.put(".");
                self.put(attribute.name);
                Ok(())
            }
            ast::Expr::List(list) => self.targets(&list.items),
            ast::Expr::Tuple(tuple) => self.targets(&tuple.items),
            other => Err(malformed(format!("cannot assign to {}", other.description()))),
        }
    }

    fn targets(&mut self, targets: &[ast::Expr]) -> Result<(), Error> {
        self.put("(");
        for (index, target) in targets.iter().enumerate() {
            self.put(if index > 0 { ", " } else { "" });
            self.target(target)?;
        }
        self.put(if targets.len() == 1 { ",)" } else { ")" });
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), Error> {
        if name.starts_with(PREFIX) {
            return Err(malformed(format!("names that begin with {PREFIX} are reserved")));
        }
        self.put(name);
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.put("\"");
        for c in text.chars() {
            match c {
                '"' => self.put("\\\""),
                '\\' => self.put("\\\\"),
                '\n' => self.put("\\n"),
                '\r' => self.put("\\r"),
                c => self.out.push(c),
            }
        }
        self.put("\"");
    }

    fn constant(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::String => {
                let text = self.with_marks(value.as_str().unwrap_or_default()).into_owned();
                self.string(&text);
            }
            ValueKind::None => self.put("none"),
            ValueKind::Bool => self.put(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.put(&value.to_string()),
            ValueKind::Number => {
                let float = f64::try_from(value.clone())?;
                if !float.is_finite() {
                    return Err(malformed("a number is out of range"));
                }
                self.put(&float_repr(float));
            }
            kind => return Err(malformed(format!("a constant of type {kind}"))),
        }
        Ok(())
    }

    fn call(&mut self, function: &str, arguments: &[&ast::Expr]) -> Result<(), Error> {
        self.put(PREFIX);
        self.put(function);
        self.put("(");
        for (index, argument) in arguments.iter().enumerate() {
            self.put(if index > 0 { ", " } else { "" });
            self.operand(argument)?;
        }
        self.put(")");
        Ok(())
    }

    fn arguments(&mut self, arguments: &[ast::CallArg]) -> Result<(), Error> {
        self.put("(");
        for (index, argument) in arguments.iter().enumerate() {
            self.put(if index > 0 { ", " } else { "" });
            let value = match argument {
                ast::CallArg::Pos(value) => value,
                ast::CallArg::Kwarg(name, value) => {
                    self.put(name);
                    self.put("=");
                    value
                }
                ast::CallArg::PosSplat(value) => {
                    self.put("*");
                    value
                }
                ast::CallArg::KwargSplat(value) => {
                    self.put("**");
                    value
                }
            };
            self.operand(value)?;
        }
        self.put(")");
        Ok(())
    }

    /// A chain of filters without what it is applied to, as `filter` blocks and `set` blocks take it.
    fn filters(&mut self, filter: &ast::Expr) -> Result<(), Error> {
        let ast::Expr::Filter(filter) = filter else {
            return Err(malformed("a filter is wanted"));
        };
        if let Some(inner) = &filter.expr {
            self.filters(inner)?;
            self.put("|");
        }
        self.put(filter.name);
        self.arguments_of(filter.name, &filter.args)
    }

    /// Arguments of a filter or a method: of a few the text may come into the result.
    fn arguments_of(&mut self, name: &str, arguments: &[ast::CallArg]) -> Result<(), Error> {
        if ["default", "d", "join", "format", "batch", "slice"].contains(&name) {
            return self.arguments(arguments);
        }
        self.unrendered(|writer| writer.arguments(arguments))
    }

    fn callee(&mut self, call: &ast::Call) -> Result<(), Error> {
        match &call.expr {
            // A method call is no look-up of an attribute: the receiver's own methods come first.
            ast::Expr::GetAttr(attribute) => {
                self.primary(&attribute.expr)?;
                self.put(".");
                self.put(attribute.name);
                if attribute.name == "changed" && call.args.iter().all(|arg| matches!(arg, ast::CallArg::Pos(_))) {
                    return self.changed(&call.args);
                }
            }
            function => {
                self.primary(function)?;
                return self.arguments(&call.args);
            }
        }
        let name = if let ast::Expr::GetAttr(attribute) = &call.expr { attribute.name } else { "" };
        self.arguments_of(name, &call.args)
    }

    /// The arguments of `loop.changed()`, which keeps and compares them.
    fn changed(&mut self, arguments: &[ast::CallArg]) -> Result<(), Error> {
        self.put("(");
        for (index, argument) in arguments.iter().enumerate() {
            self.put(if index > 0 { ", " } else { "" });
            if let ast::CallArg::Pos(value) = argument {
                self.call("scalar", &[value])?;
            }
        }
        self.put(")");
        Ok(())
    }

    /// An expression that something may follow: `.name`, `[item]`, `(…)`, `|filter`.
    fn primary(&mut self, expression: &ast::Expr) -> Result<(), Error> {
        let as_it_is = match expression {
            ast::Expr::Var(_) | ast::Expr::GetItem(_) | ast::Expr::Call(_) | ast::Expr::Slice(_) => true,
            ast::Expr::GetAttr(_) | ast::Expr::List(_) | ast::Expr::Map(_) => true,
            ast::Expr::Const(constant) => constant.value.kind() == ValueKind::String,
            _ => false,
        };
        self.parenthesised(expression, !as_it_is)
    }

    /// An expression that stands beside an operator or as an argument.
    fn operand(&mut self, expression: &ast::Expr) -> Result<(), Error> {
        let parentheses = match expression {
            ast::Expr::IfExpr(_) | ast::Expr::UnaryOp(_) | ast::Expr::Test(_) => true,
            ast::Expr::BinOp(operation) => function(operation).is_none(),
            _ => false,
        };
        self.parenthesised(expression, parentheses)
    }

    fn parenthesised(&mut self, expression: &ast::Expr, parentheses: bool) -> Result<(), Error> {
        self.put(if parentheses { "(" } else { "" });
        self.expression(expression)?;
        self.put(if parentheses { ")" } else { "" });
        Ok(())
    }

    fn expression(&mut self, expression: &ast::Expr) -> Result<(), Error> {
        match expression {
            ast::Expr::Var(variable) => self.name(variable.id)?,
            ast::Expr::Const(constant) => self.constant(&constant.value)?,
            ast::Expr::Slice(slice) => {
                self.put(PREFIX);
                self.put("slice(");
                self.operand(&slice.expr)?;
                for bound in [&slice.start, &slice.stop, &slice.step] {
                    self.put(", ");
                    match bound {
                        Some(bound) => self.unrendered(|writer| writer.operand(bound))?,
                        None => self.put("none"),
                    }
                }
                self.put(")");
            }
            ast::Expr::UnaryOp(operation) => {
                self.put(match operation.op {
                    ast::UnaryOpKind::Not => "not ",
                    ast::UnaryOpKind::Neg => "-",
                });
                self.operand(&operation.expr)?;
            }
            ast::Expr::BinOp(operation) => self.binary(operation)?,
            ast::Expr::Compare(compare) => {
                self.put(PREFIX);
                self.put("chain(");
                let before = std::mem::replace(&mut self.rendered, false);
                self.operand(&compare.expr)?;
                for step in &compare.ops {
                    self.put(match step.op {
                        ast::CompareOpKind::Eq => ", '==', ",
                        ast::CompareOpKind::Ne => ", '!=', ",
                        ast::CompareOpKind::Lt => ", '<', ",
                        ast::CompareOpKind::Lte => ", '<=', ",
                        ast::CompareOpKind::Gt => ", '>', ",
                        ast::CompareOpKind::Gte => ", '>=', ",
                        ast::CompareOpKind::In => ", 'in', ",
                        ast::CompareOpKind::NotIn => ", 'not in', ",
                    });
                    self.operand(&step.expr)?;
                }
                self.rendered = before;
                self.put(")");
            }
            ast::Expr::IfExpr(choice) => {
                self.operand(&choice.true_expr)?;
                self.put(" if ");
                self.unrendered(|writer| writer.operand(&choice.test_expr))?;
                if let Some(otherwise) = &choice.false_expr {
                    self.put(" else ");
                    self.operand(otherwise)?;
                }
            }
            ast::Expr::Filter(filter) => {
                match &filter.expr {
                    Some(inner @ ast::Expr::Filter(_)) => self.expression(inner)?,
                    Some(inner) => self.primary(inner)?,
                    None => return Err(malformed("a filter is applied to nothing")),
                }
                self.put("|");
                self.put(filter.name);
                self.arguments_of(filter.name, &filter.args)?;
            }
            ast::Expr::Test(test) => {
                let before = std::mem::replace(&mut self.rendered, false);
                self.operand(&test.expr)?;
                self.put(" is ");
                self.put(test.name);
                self.arguments(&test.args)?;
                self.rendered = before;
            }
            ast::Expr::GetAttr(attribute) if is_method(attribute.name) => {
                self.put(PREFIX);
                self.put("attribute(");
                self.operand(&attribute.expr)?;
                self.put(", ");
                self.string(attribute.name);
                self.put(")");
            }
            ast::Expr::GetAttr(attribute) => {
                self.primary(&attribute.expr)?;
                self.put(".");
                self.put(attribute.name);
            }
            ast::Expr::GetItem(item) if !is_plain_key(&item.subscript_expr) => {
                self.put(PREFIX);
                self.put("item(");
                self.operand(&item.expr)?;
                self.put(", ");
                self.unrendered(|writer| writer.operand(&item.subscript_expr))?;
                self.put(")");
            }
            ast::Expr::GetItem(item) => {
                self.primary(&item.expr)?;
                self.put("[");
                self.unrendered(|writer| writer.operand(&item.subscript_expr))?;
                self.put("]");
            }
            ast::Expr::Call(call) => self.callee(call)?,
            ast::Expr::List(list) => self.items("[", &list.items, "]")?,
            ast::Expr::Tuple(tuple) => {
                self.items("(", &tuple.items, if tuple.items.len() == 1 { ",)" } else { ")" })?
            }
            ast::Expr::Map(map) if !map.keys.iter().all(|key| matches!(key, ast::Expr::Const(_))) => {
                let members: Vec<_> = map.keys.iter().zip(&map.values).flat_map(|(key, value)| [key, value]).collect();
                self.call("dict", &members)?;
            }
            ast::Expr::Map(map) => {
                self.put("{");
                for (index, (key, value)) in map.keys.iter().zip(&map.values).enumerate() {
                    self.put(if index > 0 { ", " } else { "" });
                    self.unrendered(|writer| writer.operand(key))?;
                    self.put(": ");
                    self.operand(value)?;
                }
                self.put("}");
            }
        }
        Ok(())
    }

    fn items(&mut self, open: &str, items: &[ast::Expr], close: &str) -> Result<(), Error> {
        self.put(open);
        for (index, item) in items.iter().enumerate() {
            self.put(if index > 0 { ", " } else { "" });
            self.operand(item)?;
        }
        self.put(close);
        Ok(())
    }

    fn binary(&mut self, operation: &ast::BinOp) -> Result<(), Error> {
        // a + b + c is one call of three arguments: a long sum nests no deeper than a short one.
        if let Some(function) = function(operation) {
            let compares = !matches!(operation.op, ast::BinOpKind::Add | ast::BinOpKind::Concat | ast::BinOpKind::Rem);
            let mut operands = vec![&operation.right];
            let mut left = &operation.left;
            while let (ast::Expr::BinOp(inner), true) = (left, associative(operation.op)) {
                if inner.op as u8 != operation.op as u8 {
                    break;
                }
                operands.push(&inner.right);
                left = &inner.left;
            }
            operands.push(left);
            operands.reverse();
            if compares {
                return self.unrendered(|writer| writer.call(function, &operands));
            }
            return self.call(function, &operands);
        }
        if matches!(operation.op, ast::BinOpKind::Eq | ast::BinOpKind::Ne) {
            return self.unrendered(|writer| writer.native(operation));
        }
        self.native(operation)
    }

    fn native(&mut self, operation: &ast::BinOp) -> Result<(), Error> {
        let symbol = native(operation.op).unwrap_or_default();
        match &operation.left {
            ast::Expr::BinOp(inner) if inner.op as u8 == operation.op as u8 && chains(operation.op) => {
                self.binary(inner)?;
            }
            left => self.operand(left)?,
        }
        self.put(" ");
        self.put(symbol);
        self.put(" ");
        self.operand(&operation.right)
    }
}

/// A string that is no method's name.
fn is_plain_key(subscript: &ast::Expr) -> bool {
    matches!(subscript, ast::Expr::Const(constant) if constant.value.as_str().is_some_and(|name| !is_method(name)))
}

/// The function of `operators.rs` that takes the place of an operator.
fn function(operation: &ast::BinOp) -> Option<&'static str> {
    let with_constant =
        [&operation.left, &operation.right].iter().any(|operand| matches!(operand, ast::Expr::Const(_)));
    match operation.op {
        // What equals a constant is found out at once.
        ast::BinOpKind::Eq if !with_constant => Some("eq"),
        ast::BinOpKind::Ne if !with_constant => Some("ne"),
        ast::BinOpKind::Add => Some("add"),
        ast::BinOpKind::Rem => Some("rem"),
        ast::BinOpKind::Concat => Some("concat"),
        ast::BinOpKind::Lt => Some("lt"),
        ast::BinOpKind::Lte => Some("lte"),
        ast::BinOpKind::Gt => Some("gt"),
        ast::BinOpKind::Gte => Some("gte"),
        ast::BinOpKind::In => Some("in"),
        _ => None,
    }
}

/// Whether (a op b) op c is one call of the function with all three.
fn associative(operator: ast::BinOpKind) -> bool {
    matches!(operator, ast::BinOpKind::Add | ast::BinOpKind::Concat)
}

fn native(operator: ast::BinOpKind) -> Option<&'static str> {
    match operator {
        ast::BinOpKind::Eq => Some("=="),
        ast::BinOpKind::Ne => Some("!="),
        ast::BinOpKind::ScAnd => Some("and"),
        ast::BinOpKind::ScOr => Some("or"),
        ast::BinOpKind::Sub => Some("-"),
        ast::BinOpKind::Mul => Some("*"),
        ast::BinOpKind::Div => Some("/"),
        ast::BinOpKind::FloorDiv => Some("//"),
        ast::BinOpKind::Pow => Some("**"),
        _ => None,
    }
}

/// Whether a op b op c means (a op b) op c.
fn chains(operator: ast::BinOpKind) -> bool {
    matches!(
        operator,
        ast::BinOpKind::ScAnd
            | ast::BinOpKind::ScOr
            | ast::BinOpKind::Sub
            | ast::BinOpKind::Mul
            | ast::BinOpKind::Div
            | ast::BinOpKind::FloorDiv
    )
}
/// Whether a target is, or has among several, an attribute of a namespace.
fn sets_attribute(target: &ast::Expr) -> bool {
    match target {
        ast::Expr::GetAttr(_) => true,
        ast::Expr::List(list) => list.items.iter().any(sets_attribute),
        _ => false,
    }
}
