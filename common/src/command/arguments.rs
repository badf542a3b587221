//! The language in which rows say a command's arguments.
//!
//! ```text
//! list   = item *( " " item )
//! item   = "[" core "]" | core                       ; in brackets: optional
//! core   = ( NAME | [ token "=" ] name [ kind ] ) [ "*" | "**" ] [ "^" version ] [ "~" version ]
//! kind   = ":" type [ "#" number ]                    ; int, double, pattern, time, key, token; a string if not told
//!        | "#" number                                 ; a key; the number is that of its key spec
//!        | "(" item *( "|" item ) ")"                 ; one of these
//!        | "{" list "}"                               ; these together
//! ```
//! `NAME` in capitals is a token that stands for itself, an option as `NX`. `*`: may be repeated; `**`: each time with its
//! token. `^`: the version that has it first; `~`: the version from which on it is out of use. Names and tokens of other
//! characters than letters, digits, `-` and `_` are put between apostrophes.

/// One argument of a command, as COMMAND DOCS tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    pub kind: ArgumentKind,
    /// The number of the key spec that finds it.
    pub key_spec: Option<u8>,
    /// The word before it, or that it is.
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
    pub since: Option<&'static str>,
    pub deprecated_since: Option<&'static str>,
}

/// What an argument is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    String,
    Integer,
    Double,
    Pattern,
    UnixTime,
    PureToken,
    Key,
    OneOf(Vec<Argument>),
    Block(Vec<Argument>),
}

impl ArgumentKind {
    /// Its name in COMMAND DOCS.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::Key => "key",
            Self::OneOf(_) => "oneof",
            Self::Block(_) => "block",
        }
    }
}

/// The arguments that a row's text says. A text that does not follow the language gives the arguments before the
/// mistake; the tests of the table read every row.
#[must_use]
pub fn arguments(text: &'static str) -> Vec<Argument> {
    Reader { rest: text }.list(' ')
}

struct Reader {
    rest: &'static str,
}

impl Reader {
    fn list(&mut self, separator: char) -> Vec<Argument> {
        let mut items = Vec::new();
        while let Some(item) = self.item() {
            items.push(item);
            if !self.take(separator) {
                break;
            }
        }
        items
    }

    fn item(&mut self) -> Option<Argument> {
        let optional = self.take('[');
        let mut argument = self.core()?;
        argument.optional = optional;
        if optional && !self.take(']') {
            return None;
        }
        Some(argument)
    }

    fn core(&mut self) -> Option<Argument> {
        let word = self.word()?;
        let (token, name) = if self.take('=') { (Some(word), self.word()?) } else { (None, word) };
        let stands_for_itself =
            token.is_none() && !name.is_empty() && !name.contains(|c: char| c.is_ascii_lowercase());
        let kind = if self.take(':') {
            match self.word()?.as_str() {
                "int" => ArgumentKind::Integer,
                "double" => ArgumentKind::Double,
                "pattern" => ArgumentKind::Pattern,
                "time" => ArgumentKind::UnixTime,
                "key" => ArgumentKind::Key,
                "token" => ArgumentKind::PureToken,
                _ => return None,
            }
        } else if self.rest.starts_with('#') {
            ArgumentKind::Key
        } else if self.take('(') {
            let kind = ArgumentKind::OneOf(self.list('|'));
            self.take(')').then_some(kind)?
        } else if self.take('{') {
            let kind = ArgumentKind::Block(self.list(' '));
            self.take('}').then_some(kind)?
        } else if stands_for_itself {
            ArgumentKind::PureToken
        } else {
            ArgumentKind::String
        };
        let key_spec = if self.take('#') { self.word()?.parse().ok() } else { None };
        let multiple = self.take('*');
        let multiple_token = self.take('*');
        let since = if self.take('^') { Some(self.version()) } else { None };
        let deprecated_since = if self.take('~') { Some(self.version()) } else { None };
        let (token, name) =
            if stands_for_itself { (Some(name.clone()), name.to_ascii_lowercase()) } else { (token, name) };
        Some(Argument {
            name,
            kind,
            key_spec,
            token,
            optional: false,
            multiple,
            multiple_token,
            since,
            deprecated_since,
        })
    }

    /// A name, a token, a type or a number.
    fn word(&mut self) -> Option<String> {
        if self.take('\'') {
            let (word, rest) = self.rest.split_once('\'')?;
            self.rest = rest;
            return Some(word.to_owned());
        }
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn version(&mut self) -> &'static str {
        self.take_while(|c| c.is_ascii_digit() || c == '.')
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'static str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

/// The arguments as a line of usage, like `key value [NX|XX] [EX seconds]`.
#[must_use]
pub fn usage(arguments: &[Argument]) -> String {
    join(arguments, " ")
}

fn join(arguments: &[Argument], separator: &str) -> String {
    arguments.iter().map(usage_of).collect::<Vec<_>>().join(separator)
}

fn usage_of(argument: &Argument) -> String {
    let value = match &argument.kind {
        ArgumentKind::PureToken => String::new(),
        ArgumentKind::OneOf(choices) => join(choices, "|"),
        ArgumentKind::Block(parts) => join(parts, " "),
        _ => argument.name.clone(),
    };
    // The empty token of MIGRATE is an empty argument.
    let token = argument.token.as_deref().map(|token| if token.is_empty() { "\"\"" } else { token });
    let once = match token {
        Some(token) if value.is_empty() => token.to_owned(),
        Some(token) => format!("{token} {value}"),
        None => value.clone(),
    };
    let text = match (argument.multiple, argument.multiple_token) {
        (true, true) => format!("{once} [{once} ...]"),
        (true, false) => format!("{once} [{value} ...]"),
        _ => once,
    };
    if argument.optional { format!("[{text}]") } else { text }
}
