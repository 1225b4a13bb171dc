"""The official Qdrant client, unmodified, as two tenants on one collection, through the proxy.

usage: qdrant_official.py work|poisoned EDGE_PORT ACME_TOKEN BETA_TOKEN
"""

import sys
import uuid

from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.http.exceptions import UnexpectedResponse

phase, edge, acme_token, beta_token = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def client(token):
    headers = {"Authorization": f"Bearer {token}", "Host": "qdrant.test"}
    return QdrantClient(host="127.0.0.1", port=edge, headers=headers, prefer_grpc=False, check_compatibility=False)


def refused(call, words):
    try:
        call()
    except UnexpectedResponse as error:
        assert words in error.content.decode(), error.content
        return
    raise AssertionError("was not refused")


def ids(points):
    return [point.id for point in points]


def name_of(text):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


acme, beta = client(acme_token), client(beta_token)
X, Y, Z = [1.0, 0.0, 0.0], [0.01, 1.0, 0.0], [0.0, 0.0, 1.0]
near = [0.9, 0.1, 0.0]
A, B = name_of("a"), name_of("b")
everything = m.Filter(must=[])

if phase == "poisoned":
    assert ids(acme.query_points("docs", query=X, limit=99).points) == [1, A, 2], acme.query_points("docs", query=X, limit=99)
    assert ids(acme.scroll("docs", limit=99)[0]) == ids(acme.scroll("docs", limit=99)[0])
    assert sorted(map(str, ids(acme.scroll("docs", limit=99)[0]))) == sorted(["1", "2", A])
    assert acme.retrieve("docs", [1, 2, 666, 667]) == acme.retrieve("docs", [1, 2])
    assert "SECRET" not in str(acme.query_points("docs", query=X, limit=99, with_payload=True))
    print("qdrant client: poisoned: ok")
    sys.exit()

# Collections.
assert acme.get_collections().collections == []
assert not acme.collection_exists("docs")
acme.create_collection("docs", vectors_config=m.VectorParams(size=3, distance=m.Distance.DOT))
assert beta.collection_exists("docs")
assert [c.name for c in beta.get_collections().collections] == ["docs"]
info = acme.get_collection("docs")
assert info.config.params.vectors.size == 3 and info.points_count is None and info.payload_schema == {}, info
acme.create_payload_index("docs", "kind", m.PayloadSchemaType.KEYWORD)
assert "qdrant" in acme.info().title
refused(lambda: acme.create_payload_index("docs", "tenant_id", "keyword"), "field_invalid")
refused(lambda: acme.delete_collection("docs"), "namespace_forbidden")
refused(lambda: acme.create_collection("mine", vectors_config={}), "namespace_forbidden")
refused(lambda: acme.get_collection("secrets"), "namespace_forbidden")
refused(lambda: acme.create_snapshot("docs"), "endpoint_unknown")
refused(lambda: acme.get_aliases(), "endpoint_unknown")

# The same ids by both tenants: numbers, and the UUID of a document.
done = acme.upsert(
    "docs",
    points=[
        m.PointStruct(id=1, vector=X, payload={"n": 1, "kind": "x", "tenant_id": "t_beta"}),
        m.PointStruct(id=A, vector=near, payload={"n": 2, "kind": "x", "deep": {"a": [1, 2]}}),
        m.PointStruct(id=2, vector=Y, payload={"n": 3, "kind": "y"}),
        m.PointStruct(id=B, vector=Z),
    ],
)
assert done.status == m.UpdateStatus.COMPLETED and done.operation_id is None, done
beta.upsert("docs", points=m.Batch(ids=[1, A, 9], vectors=[X, X, Y], payloads=[{"s": "SECRET 1", "kind": "x"}, {"s": "SECRET a"}, {}]))

# Queries.
found = acme.query_points("docs", query=X, limit=9, with_payload=True, with_vectors=True).points
assert ids(found) == [1, A, 2, B], found
assert [p.payload for p in found] == [{"n": 1, "kind": "x"}, {"n": 2, "kind": "x", "deep": {"a": [1, 2]}}, {"n": 3, "kind": "y"}, {}]
assert found[0].vector == X and found[0].score == 1.0
assert [p.payload["s"] for p in beta.query_points("docs", query=X, limit=2).points] == ["SECRET 1", "SECRET a"]
assert acme.query_points("docs", query=X, with_payload=False).points[0].payload is None
assert acme.query_points("docs", query=X, with_payload=["n"]).points[0].payload == {"n": 1}
assert acme.query_points("docs", query=X, with_payload=m.PayloadSelectorExclude(exclude=["n", "tenant_id"])).points[0].payload == {"kind": "x"}
wide = m.Filter(should=[m.FieldCondition(key="tenant_id", match=m.MatchValue(value="t_beta")), m.Filter(must=[])])
assert ids(acme.query_points("docs", query=X, query_filter=wide).points) == [1, A, 2, B]
theirs = m.Filter(must=[m.FieldCondition(key="tenant_id", match=m.MatchValue(value="t_beta"))])
assert acme.query_points("docs", query=X, query_filter=theirs).points == []
not_mine = m.Filter(must_not=[m.HasIdCondition(has_id=[1, A])], must=m.FieldCondition(key="n", range=m.Range(gt=0)))
assert ids(acme.query_points("docs", query=X, query_filter=not_mine).points) == [2]
two = acme.query_points("docs", prefetch=[m.Prefetch(query=X, limit=2), m.Prefetch(query=Y, limit=1)], query=m.FusionQuery(fusion=m.Fusion.RRF))
assert set(ids(two.points)) == {1, A, 2}, two
weighted = m.FormulaQuery(formula=m.SumExpression(sum=["$score", m.MultExpression(mult=[10.0, m.HasIdCondition(has_id=[A])])]))
assert ids(acme.query_points("docs", prefetch=m.Prefetch(query=X, limit=9), query=weighted).points)[0] == A
recommended = acme.query_points("docs", query=m.RecommendQuery(recommend=m.RecommendInput(positive=[X], negative=[Z])))
assert ids(recommended.points) == [1, A, 2, B]
refused(lambda: acme.query_points("docs", query=1), "field_invalid")
refused(lambda: acme.query_points("docs", query=A), "field_invalid")
refused(lambda: acme.query_points("docs", query=X, lookup_from=m.LookupLocation(collection="docs")), "namespace_forbidden")
refused(lambda: acme.query_points("docs", query=[1.0], limit=1), "Vector dimension error: expected dim: 3, got 1")
batch = acme.query_batch_points("docs", [m.QueryRequest(query=X, limit=1), m.QueryRequest(query=Y, limit=1, with_payload=True, filter=wide)])
assert [ids(one.points) for one in batch] == [[1], [2]] and batch[0].points[0].payload is None and batch[1].points[0].payload["n"] == 3
groups = acme.query_points_groups("docs", group_by="kind", query=X, group_size=2).groups
assert [(g.id, ids(g.hits)) for g in groups] == [("x", [1, A]), ("y", [2])], groups
refused(lambda: acme.query_points_groups("docs", group_by="kind", query=X, with_lookup="docs"), "namespace_forbidden")
assert [(p.a, p.b) for p in acme.search_matrix_pairs("docs", sample=9, limit=2).pairs] == [(1, 2), (2, 1)]
assert acme.search_matrix_offsets("docs", sample=9, limit=2).ids == [1, 2]

# Pages.
pages, offset = [], None
while True:
    page, offset = acme.scroll("docs", limit=1, offset=offset, with_payload=["n"])
    pages += page
    if offset is None:
        break
assert len(pages) == 4 and set(ids(pages)) == {1, 2, A, B}, pages
assert ids(acme.scroll("docs", limit=99)[0]) == ids(pages)
assert {1: 1, 2: 3}.items() <= {p.id: p.payload.get("n") for p in pages}.items()
ordered, nothing = acme.scroll("docs", order_by="n", limit=2)
assert ids(ordered) == [1, A] and nothing is None
assert len(acme.scroll("docs", scroll_filter=wide, limit=4)[0]) == 4 and acme.scroll("docs", limit=4)[1] is None

# By ids.
assert [(p.id, p.payload.get("n")) for p in acme.retrieve("docs", [A, 1, 9, name_of("z")])] == [(A, 2), (1, 1)]
assert acme.retrieve("docs", [A.upper()], with_payload=False, with_vectors=True)[0].vector == near
assert acme.retrieve("docs", [9]) == [] and ids(beta.retrieve("docs", [9])) == [9]
assert acme.count("docs").count == 4 and acme.count("docs", exact=False).count == 4 and beta.count("docs", count_filter=wide).count == 3
assert [(h.value, h.count) for h in acme.facet("docs", "kind").hits] == [("x", 2), ("y", 1)]
assert [(h.value, h.count) for h in beta.facet("docs", "kind").hits] == [("x", 1)]
refused(lambda: acme.facet("docs", "tenant_id"), "field_invalid")

# Payloads: the marker and the kept id stay whatever is done.
acme.set_payload("docs", {"new": True, "tenant_id": "t_beta"}, points=[1, A])
acme.set_payload("docs", {"b": 1}, points=[A], key="deep.more")
assert acme.retrieve("docs", [1, A])[1].payload == {"n": 2, "kind": "x", "new": True, "deep": {"a": [1, 2], "more": {"b": 1}}}
beta.set_payload("docs", {"hijacked": True}, points=everything)
beta.set_payload("docs", {"hijacked": True}, points=[2, B])
assert "hijacked" not in str(acme.scroll("docs", limit=99)) and "hijacked" in str(beta.scroll("docs"))
acme.delete_payload("docs", keys=["new", "deep.a"], points=m.Filter(must=[m.HasIdCondition(has_id=[A])]))
assert acme.retrieve("docs", [A])[0].payload == {"n": 2, "kind": "x", "deep": {"more": {"b": 1}}}
refused(lambda: acme.delete_payload("docs", keys=["tenant_id"], points=[1]), "field_invalid")
refused(lambda: acme.delete_payload("docs", keys=['"tenant_id_id"'], points=[1]), "field_invalid")
refused(lambda: acme.set_payload("docs", {"x": 1}, points=[1], key="tenant_id.x"), "field_invalid")
refused(lambda: acme.clear_payload("docs", points_selector=[1]), "endpoint_unknown")
acme.overwrite_payload("docs", {"over": 1}, points=[2])
acme.overwrite_payload("docs", {"over": 2}, points=[B])
assert acme.overwrite_payload("docs", {"over": 3}, points=[1, A, B]).status == m.UpdateStatus.COMPLETED
assert {str(p.id): p.payload for p in acme.scroll("docs")[0]} == {"1": {"over": 3}, A: {"over": 3}, "2": {"over": 1}, B: {"over": 3}}
refused(lambda: acme.overwrite_payload("docs", {"over": 4}, points=everything), "field_invalid")

# Vectors.
acme.update_vectors("docs", points=[m.PointVectors(id=B, vector=[0.0, 0.0, 5.0]), m.PointVectors(id=2, vector=[0.0, 2.0, 0.0])])
assert acme.retrieve("docs", [B], with_vectors=True)[0].vector == [0.0, 0.0, 5.0]
refused(lambda: beta.update_vectors("docs", points=[m.PointVectors(id=2, vector=Z)]), "No point with id")
beta.delete_vectors("docs", vectors=[""], points=[2, B])
acme.delete_vectors("docs", vectors=[""], points=[2])
assert ids(acme.query_points("docs", query=Z).points)[0] == B and len(acme.query_points("docs", query=Z).points) == 3

# Batches, conditions, deletions.
outcome = acme.batch_update_points(
    "docs",
    [
        m.UpsertOperation(upsert=m.PointsList(points=[m.PointStruct(id=7, vector=Y, payload={"n": 7}), m.PointStruct(id=2, vector=Y)])),
        m.SetPayloadOperation(set_payload=m.SetPayload(payload={"batch": 1}, points=[7])),
        m.OverwritePayloadOperation(overwrite_payload=m.SetPayload(payload={"o": 1}, points=[1, A])),
        m.UpdateVectorsOperation(update_vectors=m.UpdateVectors(points=[m.PointVectors(id=7, vector=Z)])),
        m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=["n"], points=[7])),
        m.DeleteOperation(delete=m.PointIdsList(points=[B])),
    ],
)
assert len(outcome) == 6, outcome
assert [(p.payload, p.vector) for p in acme.retrieve("docs", [7], with_vectors=True)] == [({"batch": 1}, Z)]
assert [p.payload for p in acme.retrieve("docs", [1, A])] == [{"o": 1}, {"o": 1}]
acme.upsert("docs", points=[m.PointStruct(id=7, vector=X, payload={"kept": False})], update_filter=m.Filter(must_not=[m.HasIdCondition(has_id=[7])]))
assert acme.retrieve("docs", [7])[0].payload == {"batch": 1}
beta.delete("docs", points_selector=[2, 7, A])
beta.delete("docs", points_selector=m.Filter(must_not=[m.HasIdCondition(has_id=[1, 9])]))
assert sorted(map(str, ids(beta.scroll("docs")[0]))) == ["1", "9"]
acme.delete("docs", points_selector=m.FilterSelector(filter=m.Filter(must=[m.HasIdCondition(has_id=[7, 9])])))
assert set(ids(acme.scroll("docs")[0])) == {1, 2, A}

# Uploads in the client's own batches.
beta.upload_points("docs", [m.PointStruct(id=n, vector=X, payload={"n": n}) for n in range(100, 350)], batch_size=64, wait=True)
seen, offset = [], None
while True:
    page, offset = beta.scroll("docs", limit=37, offset=offset, with_payload=False)
    seen += ids(page)
    if offset is None:
        break
assert seen == [1, 9] + list(range(100, 350)), seen
print("qdrant client: ok")
