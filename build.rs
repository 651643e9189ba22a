//! Puts the pages into the binary, as lists of their files for `http::assets`: the dashboard, if it was
//! built, and the page that describes the API.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where `npm run build` of the browser client leaves the page.
const DIST: &str = "web-client/dashboard/dist";

/// The page that shows the description of the API, with its routes.
const DOCS: [(&str, &str); 3] = [
    ("/docs", "index.html"),
    ("/docs/page.css", "page.css"),
    ("/docs/page.js", "page.js"),
];

fn main() -> io::Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let dist = root.join(DIST);
    println!("cargo::rerun-if-changed=build.rs");
    let mut list = String::from("[\n");
    if dist.join("index.html").is_file() {
        // Not the folder itself: other files in it, such as a time stamp, are no part of the page.
        watch(&dist.join("index.html"));
        add(&mut list, "/", &dist.join("index.html"))?;
        let assets = dist.join("assets");
        if assets.is_dir() {
            watch(&assets);
            for (route, file) in files(&assets)? {
                add(&mut list, &route, &file)?;
            }
        }
    } else if let Some(there) = dist.ancestors().skip(1).find(|folder| folder.is_dir())
        && there != root
    {
        // A name that isn't there would count as changed in every build.
        watch(there);
    }
    list.push_str("]\n");
    let out = PathBuf::from(variable("OUT_DIR")?);
    fs::write(out.join("dashboard.rs"), list)?;

    let mut list = String::from("[\n");
    for (route, name) in DOCS {
        let file = root.join("src/http/docs").join(name);
        watch(&file);
        add(&mut list, route, &file)?;
    }
    list.push_str("]\n");
    fs::write(out.join("docs.rs"), list)
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// The files right in the folder with their routes, in an order that is always the same.
fn files(assets: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(assets)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && !name.starts_with('.') {
            found.push((format!("/assets/{name}"), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn add(list: &mut String, route: &str, file: &Path) -> io::Result<()> {
    let mut hasher = DefaultHasher::new();
    fs::read(file)?.hash(&mut hasher);
    // Weak, since what is sent may be compressed on the way.
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    let content_type = content_type(file);
    let file = file.to_string_lossy();
    writeln!(
        list,
        "File {{ route: {route:?}, content_type: {content_type:?}, tag: {tag:?}, \
         content: include_bytes!({file:?}) }},"
    )
    .map_err(io::Error::other)
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
