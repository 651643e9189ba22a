//! What the API says about itself (OpenAPI 3.1). Its routes and bodies are said by the handlers and
//! types in [`super::api`]; here is what holds for all of them.

use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, Content, OpenApi as Document, Ref, Response, ResponseBuilder};

use super::response::ErrorBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "orgcast",
        description = "What backends and operators call. Clients connect at another path, with \
            Socket.IO or a plain WebSocket. Ids may also be written as numbers, and have more \
            names than are listed here: organizationId, orgId, companyId and so on. What a route \
            does not know is refused."
    ),
    tags(
        (name = "broadcast", description = "Needs the scope `broadcast`."),
        (name = "read", description = "Needs the scope `read`. An organization's key sees its own."),
        (name = "admin", description = "Needs the scope `admin`."),
        (name = "health", description = "For whoever watches the server; needs no key."),
    ),
    components(schemas(ErrorBody)),
    security(("api_key" = []), ("bearer" = [])),
)]
struct Base;

/// The description of these routes, as it is sent.
pub(super) fn document(routes: Document) -> Vec<u8> {
    let mut document = Base::openapi();
    document.merge(routes);
    let components = document.components.get_or_insert_with(Components::new);
    let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
    let bearer = Http::new(HttpAuthScheme::Bearer);
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let operations = document.paths.paths.values_mut().flat_map(operations);
    for operation in operations {
        let responses = &mut operation.responses.responses;
        responses.insert("default".to_owned(), refused().into());
    }
    // Whatever is in it can be written: its maps have texts as keys.
    serde_json::to_vec(&document).unwrap_or_default()
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.post, &mut path.delete]
        .into_iter()
        .flatten()
}

fn refused() -> Response {
    let body = Ref::from_schema_name("ErrorBody");
    ResponseBuilder::new()
        .description("It was refused")
        .content("application/json", Content::new(Some(body)))
        .build()
}
