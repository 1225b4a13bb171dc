//! What is spoken behind a surface: its table, the shape of its errors, what of the backend's own errors may pass.

use super::{Endpoint, openai};
use crate::error::Shape;
use crate::rag;
use crate::snapshot::wire::SurfaceKind;

/// Everything that is known of a kind.
pub struct Kind {
    /// The name in policies.
    pub name: &'static str,
    /// For headlines.
    pub title: &'static str,
    /// Its rows; the first that fits counts.
    pub table: &'static [Endpoint],
    /// How its clients expect an error to look.
    pub shape: Shape,
    /// A vector database's own properties.
    pub rag: Option<&'static rag::Backend>,
}

/// Every kind, in the order of the documents.
pub const KINDS: &[SurfaceKind] = &[
    SurfaceKind::Openai,
    SurfaceKind::Chroma,
    SurfaceKind::Qdrant,
    SurfaceKind::Pinecone,
    SurfaceKind::Weaviate,
    SurfaceKind::Milvus,
    SurfaceKind::Elasticsearch,
    SurfaceKind::Opensearch,
    SurfaceKind::Postgrest,
];

impl Kind {
    /// What is known of a kind.
    pub fn of(kind: SurfaceKind) -> &'static Self {
        macro_rules! database {
            ($name:literal, $title:literal, $shape:ident, $module:ident) => {
                &Self {
                    name: $name,
                    title: $title,
                    table: rag::$module::TABLE,
                    shape: Shape::$shape,
                    rag: Some(&rag::$module::BACKEND),
                }
            };
        }
        match kind {
            SurfaceKind::Openai => {
                &Self { name: "openai", title: "OpenAI", table: openai::TABLE, shape: Shape::OpenAi, rag: None }
            }
            SurfaceKind::Chroma => database!("chroma", "Chroma (v2)", Chroma, chroma),
            SurfaceKind::Qdrant => database!("qdrant", "Qdrant (REST)", Qdrant, qdrant),
            SurfaceKind::Pinecone => database!("pinecone", "Pinecone (data plane)", Pinecone, pinecone),
            SurfaceKind::Weaviate => database!("weaviate", "Weaviate (REST, GraphQL)", Weaviate, weaviate),
            SurfaceKind::Milvus => database!("milvus", "Milvus (REST v2)", Milvus, milvus),
            SurfaceKind::Elasticsearch => database!("elasticsearch", "Elasticsearch", Elastic, elasticsearch),
            SurfaceKind::Opensearch => &Self {
                name: "opensearch",
                title: "OpenSearch",
                table: rag::elasticsearch::TABLE,
                shape: Shape::Elastic,
                rag: Some(&rag::elasticsearch::BACKEND),
            },
            SurfaceKind::Postgrest => database!("postgrest", "PostgREST (pgvector)", Postgrest, postgrest),
        }
    }
}
