//! What a source file says, read as tokens: which modules it declares, which paths it names, and how
//! many lines of it are code. What is compiled for tests only is left out, and only that.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Words that an item can begin with, behind its attributes and its visibility.
const ITEMS: &[&str] = &[
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "let",
    "macro_rules",
    "mod",
    "static",
    "struct",
    "trait",
    "type",
    "union",
    "unsafe",
    "use",
];

/// Items that end with a semicolon, whatever braces they have before it.
const STATEMENTS: &[&str] = &["const", "let", "static", "type", "use"];

#[derive(Debug, Default)]
pub struct Source {
    /// The modules that it consists of: itself, with no name, and those written out in it.
    pub modules: Vec<Module>,
    /// The files that belong to tests only, as they are named in it: `tests` or, if a path is given,
    /// `jwt_tests.rs`.
    pub test_files: Vec<String>,
    /// Lines with anything but comments, blanks and tests.
    pub code_lines: usize,
}

#[derive(Debug, Default)]
pub struct Module {
    /// Its name below the file, such as `inner::deeper`.
    pub name: Vec<String>,
    /// Modules declared in it, here or in a file of their own.
    pub children: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Paths of two segments or more that are named in it outside of imports.
    pub paths: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
pub struct Import {
    pub path: Vec<String>,
    /// The name that it has from then on; `*` if it takes everything.
    pub alias: String,
}

pub fn read(text: &str) -> Result<Source, String> {
    let tokens: TokenStream = text.parse().map_err(|error| format!("{error}"))?;
    let mut source = Source::default();
    let mut tests = Vec::new();
    let tokens = without_tests(tokens, &mut tests);
    for (name, path) in tests {
        source.test_files.push(path.unwrap_or(name));
    }
    let mut lines = BTreeSet::new();
    add_lines(&tokens, &mut lines);
    source.code_lines = lines.len();
    source.read_module(&[], &tokens);
    Ok(source)
}

/// The tokens without what is compiled for tests only. The modules among that which have a file of
/// their own go into `tests`, with the path that is given for it.
fn without_tests(
    tokens: impl IntoIterator<Item = TokenTree>,
    tests: &mut Vec<(String, Option<String>)>,
) -> Vec<TokenTree> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let attributes = attributes_at(&tokens[at..]);
        let is_test = tokens[at..at + attributes].iter().any(is_cfg_test);
        let is_inner =
            matches!(tokens.get(at + 1), Some(TokenTree::Punct(mark)) if mark.as_char() == '!');
        if is_test && is_inner {
            return Vec::new();
        }
        if is_test {
            let item = &tokens[at + attributes..];
            let length = item_length(item);
            if let Some(name) = declared_file(&item[..length]) {
                let path = tokens[at..at + attributes].iter().find_map(path_attribute);
                tests.push((name, path));
            }
            at += attributes + length;
            continue;
        }
        kept.extend(tokens[at..at + attributes].iter().cloned());
        at += attributes;
        match tokens.get(at) {
            Some(TokenTree::Group(group)) => {
                let inner = without_tests(group.stream(), tests);
                let mut cleaned = Group::new(group.delimiter(), inner.into_iter().collect());
                cleaned.set_span(group.span());
                kept.push(TokenTree::Group(cleaned));
            }
            Some(other) => kept.push(other.clone()),
            None => break,
        }
        at += 1;
    }
    kept
}

/// How many tokens the attributes at the beginning take.
fn attributes_at(tokens: &[TokenTree]) -> usize {
    let mut length = 0;
    while is_punct(tokens.get(length), '#') {
        let bang = usize::from(is_punct(tokens.get(length + 1), '!'));
        match tokens.get(length + 1 + bang) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
                length += 2 + bang;
            }
            _ => break,
        }
        if bang == 1 {
            // An inner attribute stands alone.
            break;
        }
    }
    length
}

/// Whether it is the bracket of `#[cfg(test)]` or of `#[cfg(all(test, ..))]`.
fn is_cfg_test(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else {
        return false;
    };
    let text: String = group.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

fn path_attribute(token: &TokenTree) -> Option<String> {
    let TokenTree::Group(group) = token else {
        return None;
    };
    let text: String = group.stream().to_string().split_whitespace().collect();
    Some(text.strip_prefix("path=\"")?.strip_suffix('"')?.to_owned())
}

/// How many tokens an item, a field, an arm or a statement takes. Where it can't be told it is too
/// few, so that more is looked at rather than less.
fn item_length(tokens: &[TokenTree]) -> usize {
    let mut word = 0;
    if is_word(tokens.first(), "pub") {
        word = match tokens.get(1) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => 2,
            _ => 1,
        };
    }
    let keyword = match tokens.get(word) {
        Some(TokenTree::Ident(ident)) => ident.to_string(),
        _ => String::new(),
    };
    let is_function = keyword == "const" && is_word(tokens.get(word + 1), "fn");
    let is_statement = STATEMENTS.contains(&keyword.as_str()) && !is_function;
    let is_item = ITEMS.contains(&keyword.as_str());
    for (index, token) in tokens.iter().enumerate() {
        let ends = match token {
            TokenTree::Punct(mark) => mark.as_char() == ';' || (!is_item && mark.as_char() == ','),
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !is_statement,
            _ => false,
        };
        if ends {
            return index + 1;
        }
    }
    tokens.len()
}

/// The name in `mod name;`.
fn declared_file(item: &[TokenTree]) -> Option<String> {
    let at = item.iter().position(|token| is_word(Some(token), "mod"))?;
    let TokenTree::Ident(name) = item.get(at + 1)? else {
        return None;
    };
    is_punct(item.get(at + 2), ';').then(|| name.to_string())
}

fn add_lines(tokens: &[TokenTree], lines: &mut BTreeSet<usize>) {
    let mut at = 0;
    while at < tokens.len() {
        let length = attributes_at(&tokens[at..]).min(3);
        if length > 0 && tokens[at..at + length].iter().any(is_doc) {
            at += if is_punct(tokens.get(at + 1), '!') {
                3
            } else {
                2
            };
            continue;
        }
        match &tokens[at] {
            TokenTree::Group(group) => {
                lines.insert(group.span_open().start().line);
                lines.insert(group.span_close().end().line);
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                add_lines(&inner, lines);
            }
            other => lines.extend(other.span().start().line..=other.span().end().line),
        }
        at += 1;
    }
}

/// Whether it is the bracket that a doc comment becomes.
fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else {
        return false;
    };
    let mut inner = group.stream().into_iter();
    is_word(inner.next().as_ref(), "doc") && is_punct(inner.next().as_ref(), '=')
}

impl Source {
    fn read_module(&mut self, name: &[String], tokens: &[TokenTree]) {
        let mut module = Module {
            name: name.to_owned(),
            ..Module::default()
        };
        let mut inner = Vec::new();
        module.read(tokens, &mut inner);
        self.modules.push(module);
        for (child, tokens) in inner {
            let mut name = name.to_owned();
            name.push(child);
            self.read_module(&name, &tokens);
        }
    }
}

impl Module {
    /// Modules that are written out go into `inner`.
    fn read(&mut self, tokens: &[TokenTree], inner: &mut Vec<(String, Vec<TokenTree>)>) {
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at] {
                TokenTree::Group(group) => {
                    self.read(&inside(group), inner);
                    1
                }
                TokenTree::Ident(ident) => match ident.to_string().as_str() {
                    "pub" => visibility_length(&tokens[at..]),
                    "mod" => self.read_child(&tokens[at..], inner),
                    // Behind it may be what a type captures: `+ use<'a>`.
                    "use" if !is_punct(tokens.get(at + 1), '<') => {
                        1 + self.read_import(&[], &tokens[at + 1..])
                    }
                    _ => self.read_path(&tokens[at..]),
                },
                _ => 1,
            };
        }
    }

    fn read_child(
        &mut self,
        tokens: &[TokenTree],
        inner: &mut Vec<(String, Vec<TokenTree>)>,
    ) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(1) else {
            return 1;
        };
        self.children.insert(name.to_string());
        if let Some(TokenTree::Group(group)) = tokens.get(2) {
            inner.push((name.to_string(), inside(group)));
            return 3;
        }
        2
    }

    /// One branch of an import, up to its end or the comma behind it; how many tokens it takes.
    fn read_import(&mut self, before: &[String], tokens: &[TokenTree]) -> usize {
        let mut path = before.to_vec();
        let mut alias = None;
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(ident) if ident == "as" => {
                    alias = tokens.get(at + 1).map(ToString::to_string);
                    at += 1;
                }
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Group(group) => {
                    let branches = inside(group);
                    let mut branch = 0;
                    while branch < branches.len() {
                        branch += self.read_import(&path, &branches[branch..]);
                    }
                    path.clear();
                }
                TokenTree::Punct(mark) if mark.as_char() == '*' => alias = Some("*".to_owned()),
                TokenTree::Punct(mark) if matches!(mark.as_char(), ',' | ';') => {
                    at += 1;
                    break;
                }
                _ => {}
            }
            at += 1;
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(last) = path.last() {
            let alias = alias.unwrap_or_else(|| last.clone());
            self.imports.push(Import { path, alias });
        }
        at
    }

    /// The path at the beginning, as far as it has names only; how many tokens it takes.
    fn read_path(&mut self, tokens: &[TokenTree]) -> usize {
        let mut path = vec![tokens[0].to_string()];
        let mut at = 1;
        while is_punct(tokens.get(at), ':')
            && is_punct(tokens.get(at + 1), ':')
            && let Some(TokenTree::Ident(next)) = tokens.get(at + 2)
        {
            path.push(next.to_string());
            at += 3;
        }
        if path.len() > 1 {
            self.paths.push(path);
        }
        at
    }
}

/// `pub(in crate::protocol)` imports nothing.
fn visibility_length(tokens: &[TokenTree]) -> usize {
    if let Some(TokenTree::Group(group)) = tokens.get(1) {
        let first = group.stream().into_iter().next();
        if ["crate", "in", "self", "super"]
            .iter()
            .any(|word| is_word(first.as_ref(), word))
        {
            return 2;
        }
    }
    1
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(mark)) if mark.as_char() == wanted)
}

fn is_word(token: Option<&TokenTree>, wanted: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == wanted)
}
