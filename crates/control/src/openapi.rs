//! The API as an OpenAPI 3.1 document, made of the very types that the handlers take and answer with.
//!
//! [`OPERATIONS`] is the list of what there is: a handler that is not in it, or the other way round, is a failed test of the daemon's, and
//! an answer that is not of its schema one of the integration tests'.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::reload::{Plan, Reloaded};
use crate::{
    AddServer, Change, CheckRun, Drain, EventPage, Exported, Fingerprint, Instance, Log, Nodes,
    NodesReport, Problem, Release, RoleChange, RuntimeChanges, Service, SetLog, SetWeight, Status,
    Why,
};

/// What makes a schema.
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What a handler takes as its body.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Body {
    /// Nothing.
    Nothing,
    /// JSON, which may be left out where every field may.
    Json(Shape),
    /// A configuration's text.
    Yaml,
}

/// What a handler answers with when it does not refuse.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// JSON.
    Json(Shape),
    /// Text of this media type.
    Text(&'static str),
}

/// Where an operation is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Served {
    /// On the control socket.
    Control,
    /// On the read-only listener (`daemon.http.listen`).
    Http,
    /// On both.
    Both,
}

/// One thing that can be asked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Operation {
    /// In upper case.
    pub method: &'static str,
    /// With names in braces: `/v1/services/{service}`.
    pub path: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Parameters of the query: name, type, meaning.
    pub query: &'static [(&'static str, &'static str, &'static str)],
    /// What it takes.
    pub body: Body,
    /// What it answers.
    pub answer: Answer,
    /// Where.
    pub served: Served,
}

impl Operation {
    const fn get(path: &'static str, summary: &'static str, answer: Answer) -> Self {
        let (query, body, served) = (&[], Body::Nothing, Served::Control);
        Self { method: "GET", path, summary, query, body, answer, served }
    }

    const fn post(path: &'static str, summary: &'static str, body: Body, answer: Answer) -> Self {
        Self { method: "POST", body, ..Self::get(path, summary, answer) }
    }

    const fn with(self, query: &'static [(&'static str, &'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    const fn at(self, served: Served) -> Self {
        Self { served, ..self }
    }
}

const fn answers<T: JsonSchema>() -> Answer {
    Answer::Json(SchemaGenerator::subschema_for::<T>)
}

const fn takes<T: JsonSchema>() -> Body {
    Body::Json(SchemaGenerator::subschema_for::<T>)
}

const PLAIN: Answer = Answer::Text("text/plain");

/// What is passed on to another node.
const ON_NODE: &str = "The same request of another node, by way of this one: `path` is the request's own, and so are body and answer. It may read the state, `v1/fingerprint` and `v1/changes`, and change real servers. 502 where the node can't be reached.";

/// What it answers, whose schema is that of the path.
const ANSWER_OF_NODE: Answer = Answer::Text("application/json");

/// Everything that can be asked.
pub const OPERATIONS: &[Operation] = &[
    Operation::get("/v1/status", "Everything at a glance.", answers::<Status>()).at(Served::Both),
    Operation::get("/v1/openapi.json", "This document.", Answer::Text("application/json")).at(Served::Both),
    Operation::get("/v1/events", "What happened, oldest first; waits for something where nothing has.", answers::<EventPage>())
        .with(&[
            ("since", "integer", "Only events after this number."),
            ("wait_ms", "integer", "So long at most, in milliseconds; 20 s at most."),
        ]),
    Operation::get(
        "/v1/events/stream",
        "What happens, as server-sent events: `id` is the number, `event` the kind, `data` an Event. It ends after five minutes; `Last-Event-ID` or `since` goes on.",
        Answer::Text("text/event-stream"),
    )
    .with(&[("since", "integer", "Only events after this number.")]),
    Operation::get("/v1/plan", "What a reload of the daemon's file would change.", answers::<Plan>()),
    Operation::post("/v1/plan", "What a reload of this configuration would change.", Body::Yaml, answers::<Plan>()),
    Operation::post("/v1/reload", "Reads the file again and applies what differs; refused whole when it is invalid.", Body::Nothing, answers::<Reloaded>()),
    Operation::get(
        "/v1/changes",
        "What commands have changed against the file.",
        answers::<RuntimeChanges>(),
    ),
    Operation::get(
        "/v1/export",
        "The configuration that runs, with what commands have changed.",
        answers::<Exported>(),
    ),
    Operation::get("/v1/fingerprint", "What must be equal on all nodes, as a number for each part of it.", answers::<Fingerprint>())
        .with(&[("names", "boolean", "With what each part is made of, and a number for each of that.")]),
    Operation::get("/v1/nodes", "This node and the others of the pair, and whether those have the same.", answers::<Nodes>()),
    Operation::get("/v1/nodes/{node}/{path}", ON_NODE, ANSWER_OF_NODE),
    Operation::post("/v1/nodes/{node}/{path}", ON_NODE, Body::Nothing, ANSWER_OF_NODE),
    Operation { method: "DELETE", ..Operation::get("/v1/nodes/{node}/{path}", ON_NODE, ANSWER_OF_NODE) },
    Operation::get("/v1/log", "What is logged.", answers::<Log>()),
    Operation::post("/v1/log", "Has something else logged until the daemon ends.", takes::<SetLog>(), answers::<Log>()),
    Operation::get("/v1/vrrp", "The VRRP instances.", answers::<Vec<Instance>>()),
    Operation::post("/v1/vrrp/{name}/release", "Steps back from an instance, or all of a sync group, until resumed.", takes::<Release>(), answers::<RoleChange>()),
    Operation::post("/v1/vrrp/{name}/resume", "Takes part again as the configuration says.", Body::Nothing, answers::<RoleChange>()),
    Operation::post("/v1/vrrp/{name}/failover", "Gives the role to another node once. Of a Backup that has done so, `changed` is false; of another one it is refused (409).", Body::Nothing, answers::<RoleChange>()),
    Operation::get("/v1/services", "The services.", answers::<Vec<Service>>()),
    Operation::get("/v1/services/{service}", "A service.", answers::<Service>()),
    Operation::post("/v1/services/{service}/servers", "Adds a real server.", takes::<AddServer>(), answers::<Change>()),
    Operation {
        method: "DELETE",
        body: takes::<Drain>(),
        ..Operation::get("/v1/services/{service}/servers/{server}", "Drains a real server and removes it. Of one that is not there, `changed` is false and `note` says so; 404 where there is no such service.", answers::<Change>())
    }
    .with(&[("now", "boolean", "Removes it at once: its connections are lost.")]),
    Operation::post("/v1/services/{service}/servers/{server}/drain", "Gives a real server nothing new and lets it finish what it has.", takes::<Drain>(), answers::<Change>()),
    Operation::post("/v1/services/{service}/servers/{server}/ready", "Takes a real server back.", takes::<Why>(), answers::<Change>()),
    Operation::post("/v1/services/{service}/servers/{server}/maint", "Gives a real server nothing new and checks it no more.", takes::<Why>(), answers::<Change>()),
    Operation::post(
        "/v1/services/{service}/servers/{server}/check",
        "Runs the checks of a real server once, which counts for nothing.",
        Body::Nothing,
        answers::<CheckRun>(),
    ),
    Operation::post("/v1/services/{service}/servers/{server}/weight", "Gives a real server another weight.", takes::<SetWeight>(), answers::<Change>()),
    Operation::get("/metrics", "Metrics for Prometheus, as text or, where it is asked for, as OpenMetrics.", PLAIN).at(Served::Both),
    Operation::get("/healthz", "200 while the daemon's loops turn.", PLAIN).at(Served::Http),
    Operation::get("/readyz", "200 while the kernel's table is as it should be.", PLAIN).at(Served::Http),
];

/// The document, for this version of the program.
pub fn document(version: &str) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let (mut told, mut taken) = (
        settings().for_serialize().into_generator(),
        settings().for_deserialize().into_generator(),
    );
    let problem = told.subschema_for::<Problem>();
    // No operation answers with it: the command line makes it of the answers of all nodes, and prints it.
    told.subschema_for::<NodesReport>();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let described = describe(operation, &problem, &mut told, &mut taken);
        let path = paths.entry(operation.path).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(path) = path {
            path.insert(operation.method.to_lowercase(), described);
        }
    }
    let mut schemas = taken.take_definitions(true);
    schemas.extend(told.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": version,
            "description": "The control API of holdfastd: HTTP on its Unix socket. Fields may be added within v1; none is renamed or removed. Every refusal is a Problem (RFC 9457).",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn describe(
    operation: &Operation,
    problem: &Schema,
    told: &mut SchemaGenerator,
    taken: &mut SchemaGenerator,
) -> Value {
    let names =
        operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
    );
    let in_query = operation.query.iter().map(|(name, kind, text)| {
        json!({"name": name, "in": "query", "description": text, "schema": {"type": kind}})
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let content = match operation.answer {
        Answer::Json(shape) => json!({"application/json": {"schema": shape(told)}}),
        // This document, and what another node answers, have no schema here.
        Answer::Text("application/json") => json!({"application/json": {"schema": {}}}),
        Answer::Text(kind) => json!({kind: {"schema": {"type": "string"}}}),
    };
    let served = match operation.served {
        Served::Control => "the control socket",
        Served::Http => "`daemon.http.listen`",
        Served::Both => "the control socket and `daemon.http.listen`",
    };
    let mut described = json!({
        "summary": operation.summary,
        "description": format!("Served on {served}."),
        "responses": {
            "200": {"description": "Done.", "content": content},
            "default": {"description": "Refused.", "content": {"application/problem+json": {"schema": problem}}},
        },
    });
    let body = match operation.body {
        Body::Nothing => None,
        Body::Json(shape) => {
            Some(json!({"content": {"application/json": {"schema": shape(taken)}}}))
        }
        Body::Yaml => Some(
            json!({"required": true, "content": {"application/yaml": {"schema": {"type": "string"}}}}),
        ),
    };
    if let Value::Object(described) = &mut described {
        if !parameters.is_empty() {
            described.insert("parameters".into(), parameters.into());
        }
        if let Some(body) = body {
            described.insert("requestBody".into(), body);
        }
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test -p holdfast-control` writes it anew. What disappears from it breaks somebody's program.
    #[test]
    fn the_document_that_is_shipped_is_the_one_that_is_served() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let mut text = format!("{:#}", document(env!("CARGO_PKG_VERSION")));
        text.push('\n');
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).expect("docs can be written");
        }
        let shipped = std::fs::read_to_string(&path).expect("docs/openapi.json");
        assert!(shipped == text, "UPDATE_DOCS=1 cargo test -p holdfast-control");
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_operation_is_there_twice() {
        let document = document("1");
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let mut references = 0;
        for reference in text.split("\"$ref\":\"").skip(1) {
            let name = reference.split('"').next().expect("a name");
            let name =
                name.strip_prefix("#/components/schemas/").unwrap_or_else(|| panic!("{name}"));
            assert!(schemas.contains_key(name), "{name}");
            references += 1;
        }
        assert!(references > 20, "{references}");
        // What the command line alone prints.
        for name in ["NodesReport", "NodeReport"] {
            assert!(schemas.contains_key(name), "{name}");
        }
        let count: usize = document["paths"]
            .as_object()
            .expect("paths")
            .values()
            .map(|path| path.as_object().map_or(0, Map::len))
            .sum();
        assert_eq!(count, OPERATIONS.len());
    }
}
