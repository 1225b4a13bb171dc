//! Every refusal has one stable code. This table is the only place that gives a code its status and its words;
//! `docs/errors.md` is generated from it.

use serde::{Deserialize, Serialize};

/// How a surface's clients expect an error to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"error":{"message","type","param","code"}}`
    OpenAi,
    /// `{"error":CODE,"message":…}`, as Chroma answers.
    Chroma,
    /// `{"status":{"error":…},"time":0}`, as Qdrant answers.
    Qdrant,
    /// `{"code":3,"message":…,"details":[]}`, as Pinecone answers.
    Pinecone,
    /// `{"error":[{"message":…}]}`, as Weaviate answers.
    Weaviate,
    /// `{"code":1100,"message":…}`, as Milvus answers.
    Milvus,
    /// `{"error":{"type","reason"},"status":…}`, as Elasticsearch and OpenSearch answer.
    Elastic,
    /// `{"code","message","details","hint"}`, as PostgREST answers.
    Postgrest,
    /// RFC 9457 `application/problem+json`; used where no surface is known yet.
    Problem,
}

macro_rules! codes {
    ($($variant:ident $name:literal $status:literal $message:literal $todo:literal;)*) => {
        /// Why a request or a response was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code { $(#[doc = $message] #[serde(rename = $name)] $variant,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];
            /// The stable name, as clients, metrics and records see it.
            pub fn as_str(self) -> &'static str { match self { $(Code::$variant => $name,)* } }
            /// The HTTP status of the refusal.
            pub fn status(self) -> u16 { match self { $(Code::$variant => $status,)* } }
            /// What happened, for the client. Never names another tenant or any content.
            pub fn message(self) -> &'static str { match self { $(Code::$variant => $message,)* } }
            /// What to do next.
            pub fn next_step(self) -> &'static str { match self { $(Code::$variant => $todo,)* } }
        }
    };
}

codes! {
    SnapshotMissing "snapshot_missing" 503 "this proxy has no policy yet" "Check that the control plane is up and that the filter's token and public key are right; then retry.";
    SnapshotStale "snapshot_stale" 503 "this proxy's policy is too old to be trusted" "Check the connection between the proxy and the control plane; then retry.";
    HeadMalformed "head_malformed" 400 "the request head cannot be read" "Send one valid :method, :path and host, with header values in UTF-8 where they matter.";
    PathForbidden "path_forbidden" 400 "the path is not canonical" "Send the path without encoded slashes, dot segments, doubled slashes, semicolons or NUL.";
    UpgradeForbidden "upgrade_forbidden" 403 "protocol upgrades and CONNECT are not served" "Use plain HTTP requests.";
    SurfaceUnknown "surface_unknown" 404 "no surface serves this host and path" "Check the host name and path; the operator lists surfaces in the policy.";
    EndpointUnknown "endpoint_unknown" 403 "this surface does not serve this method and path" "Use one of the endpoints that the surface allows; docs/surfaces.md lists them.";
    QueryForbidden "query_forbidden" 400 "the query string has a parameter that is unknown, repeated or malformed" "Remove the parameter.";
    TokenMissing "token_missing" 401 "no tenant token was sent" "Send the tenant's JWT as Authorization: Bearer, as x-api-key, or in the configured header.";
    TokenAmbiguous "token_ambiguous" 401 "more than one token was sent" "Send exactly one token, in one place.";
    TokenInvalid "token_invalid" 401 "the token is malformed, or its signature, issuer or audience is wrong" "Get a new token from your identity provider.";
    TokenExpired "token_expired" 401 "the token has expired" "Get a new token from your identity provider.";
    TokenNotYetValid "token_not_yet_valid" 401 "the token is not valid yet" "Check the clocks of the identity provider and of the proxy.";
    TenantClaimInvalid "tenant_claim_invalid" 403 "the token names no valid tenant" "Ask your identity provider's operator to put the tenant into the configured claim, as a string.";
    TenantUnknown "tenant_unknown" 403 "the tenant is not known here" "Ask the operator to onboard the tenant.";
    TenantSuspended "tenant_suspended" 403 "the tenant is suspended" "Ask the operator.";
    BodyTooLarge "body_too_large" 413 "the request body is larger than this surface allows" "Send less in one request.";
    BodyMissing "body_missing" 400 "this endpoint needs a request body" "Send a JSON body.";
    BodyForbidden "body_forbidden" 400 "this endpoint takes no request body" "Send the request without a body.";
    MediaTypeUnsupported "media_type_unsupported" 415 "the request's content-type is not served here" "Send content-type: application/json.";
    EncodingUnsupported "encoding_unsupported" 415 "encoded request bodies cannot be checked" "Send the body without content-encoding.";
    TrailersForbidden "trailers_forbidden" 400 "request trailers are not served here" "Send the request without trailers.";
    JsonInvalid "json_invalid" 400 "the request body is not valid JSON" "Send one JSON document in UTF-8 without a byte order mark.";
    JsonDuplicateKey "json_duplicate_key" 400 "an object in the request body has the same key twice" "Send each key once.";
    JsonTooDeep "json_too_deep" 400 "the request body is nested too deeply" "Nest at most 64 levels.";
    FieldUnknown "field_unknown" 400 "the request body has a field that this endpoint does not know" "Remove the field.";
    FieldInvalid "field_invalid" 400 "a field of the request body has a type or value that this endpoint does not take" "Compare the body with the backend's documentation.";
    NamespaceForbidden "namespace_forbidden" 403 "the request names a database, tenant or collection outside the tenant's namespace" "Use the names that the operator has configured.";
    PlaceUnavailable "place_unavailable" 503 "the tenant's place in this database cannot be reached this way" "Ask the operator: the tenant's id cannot be part of a name there, or the surface names no cluster.";
    NotFound "not_found" 404 "there is no such record in the tenant's namespace" "Check the id.";
    UpstreamUnavailable "upstream_unavailable" 502 "the database did not answer the filter's own request" "Retry; if it persists, ask the operator.";
    FingerprintMatch "fingerprint_match" 403 "the response was withheld: it holds content that belongs to another tenant" "The operator has been alerted; quote the request id.";
    UpstreamEncodingUnsupported "upstream_encoding_unsupported" 502 "the upstream sent an encoded response, which cannot be checked" "Ask the operator to turn compression off between proxy and upstream.";
    UpstreamMediaTypeUnsupported "upstream_media_type_unsupported" 502 "the upstream sent a media type that cannot be checked" "Ask the operator.";
    UpstreamMalformed "upstream_malformed" 502 "the upstream's response cannot be read, so it cannot be checked" "Ask the operator.";
    UpstreamTooLarge "upstream_too_large" 502 "the upstream's response is larger than this surface allows" "Ask for less in one request, or ask the operator to raise the limit.";
    UpstreamTrailers "upstream_trailers" 502 "the upstream sent trailers, which cannot be checked" "Ask the operator.";
    HoldbackExceeded "holdback_exceeded" 502 "too much of the response had to be held back at once" "Ask the operator to raise the hold-back limit.";
    Internal "internal" 503 "the filter met a state that it does not know, and refused" "Report this with the request id.";
}

impl Code {
    /// Finds a code by its stable name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// Whether the refusal alone is worth an alert: something crossed, or tried to.
    pub fn is_breach(self) -> bool {
        matches!(self, Self::FingerprintMatch)
    }

    /// The error's body and media type in the surface's own shape.
    pub fn render(self, shape: Shape, request_id: &str) -> (Vec<u8>, &'static str) {
        let text = format!("{}. {}", self.message(), self.next_step());
        let (value, media) = match shape {
            Shape::OpenAi => (
                serde_json::json!({"error": {"message": text, "type": self.openai_type(), "param": null,
                    "code": self.as_str(), "request_id": request_id}}),
                "application/json",
            ),
            Shape::Chroma => (
                serde_json::json!({"error": self.as_str(), "message": text, "request_id": request_id}),
                "application/json",
            ),
            Shape::Qdrant => (
                serde_json::json!({"status": {"error": text, "code": self.as_str()}, "time": 0.0, "request_id": request_id}),
                "application/json",
            ),
            Shape::Pinecone => (
                serde_json::json!({"code": 7, "message": text, "details": [],
                    "error": {"code": self.as_str(), "message": text}, "status": self.status(), "request_id": request_id}),
                "application/json",
            ),
            Shape::Weaviate => (
                serde_json::json!({"error": [{"message": text}], "code": self.as_str(), "request_id": request_id}),
                "application/json",
            ),
            // Milvus' clients read `code`: a number that is not 0.
            Shape::Milvus => (
                serde_json::json!({"code": 65535, "message": text, "reason": self.as_str(), "request_id": request_id}),
                "application/json",
            ),
            Shape::Elastic => (
                serde_json::json!({"error": {"type": self.as_str(), "reason": text,
                    "root_cause": [{"type": self.as_str(), "reason": text}]}, "status": self.status(), "request_id": request_id}),
                "application/json",
            ),
            Shape::Postgrest => (
                serde_json::json!({"code": self.as_str(), "message": self.message(), "details": null,
                    "hint": self.next_step(), "request_id": request_id}),
                "application/json",
            ),
            Shape::Problem => (
                serde_json::json!({"type": format!("urn:partywall:error:{}", self.as_str()), "title": self.message(),
                    "status": self.status(), "detail": self.next_step(), "code": self.as_str(),
                    "request_id": request_id}),
                "application/problem+json",
            ),
        };
        (value.to_string().into_bytes(), media)
    }

    fn openai_type(self) -> &'static str {
        match self.status() {
            401 => "authentication_error",
            403 => "permission_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_round_trip() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
