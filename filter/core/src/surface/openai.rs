//! OpenAI's API, and what speaks like it.

use super::{BodyRule, Endpoint, RequestRule, ResponseRule};

pub(super) const TABLE: &[Endpoint] = &[
    Endpoint {
        name: "openai.chat_completions",
        method: "POST",
        template: "/v1/chat/completions",
        query: &[],
        body: BodyRule::Json,
        request: RequestRule::Chat,
        response: ResponseRule::Scan,
        note: "streaming and not",
    },
    Endpoint {
        name: "openai.models",
        method: "GET",
        template: "/v1/models",
        query: &[],
        body: BodyRule::None,
        request: RequestRule::Pass,
        response: ResponseRule::Scan,
        note: "",
    },
    Endpoint {
        name: "openai.model",
        method: "GET",
        template: "/v1/models/{model}",
        query: &[],
        body: BodyRule::None,
        request: RequestRule::Pass,
        response: ResponseRule::Scan,
        note: "",
    },
];
