"""Qdrant's own engine, in this process, asked with the rewriter's filters.

A store that three tenants share, asked with what the rewriter made of acme's requests, must give what a store with only acme's
points gives to the requests as they were.

usage: qdrant_engine.py CASES.json
"""

import json
import sys
import tempfile

import qdrant_edge as q

cases = json.load(open(sys.argv[1]))
KEY, COMPANION, NAMESPACE = "tenant_id", "tenant_id_id", "t_acme"


def many(value, convert):
    if value is None:
        return None
    return [convert(one) for one in (value if isinstance(value, list) else [value])]


def read_filter(value):
    least = value.get("min_should")
    return q.Filter(
        must=many(value.get("must"), condition),
        should=many(value.get("should"), condition),
        must_not=many(value.get("must_not"), condition),
        min_should=least and q.MinShould([condition(one) for one in least["conditions"]], least["min_count"]),
    )


def match(value):
    [(name, wanted)] = value.items()
    kinds = {"value": q.MatchValue, "any": q.MatchAny, "except": q.MatchExcept, "text": q.MatchText, "phrase": q.MatchPhrase}
    return kinds[name](wanted)


def span(value):
    kind = q.RangeDateTime if any(isinstance(bound, str) for bound in value.values()) else q.RangeFloat
    return kind(**value)


def circle(value):
    return q.GeoRadius(q.GeoPoint(value["center"]["lon"], value["center"]["lat"]), value["radius"])


def condition(value):
    if "key" in value:
        read = {"match": match, "range": span, "values_count": lambda v: q.ValuesCount(**v), "geo_radius": circle, "is_empty": bool, "is_null": bool}
        parts = {name: read[name](part) for name, part in value.items() if name != "key"}
        return q.FieldCondition(value["key"], **parts)
    if "has_id" in value:
        return q.HasIdCondition(set(value["has_id"]))
    if "has_vector" in value:
        return q.HasVectorCondition(value["has_vector"])
    if "is_empty" in value:
        return q.IsEmptyCondition(value["is_empty"]["key"])
    if "is_null" in value:
        return q.IsNullCondition(value["is_null"]["key"])
    if "nested" in value:
        return q.NestedCondition(value["nested"]["key"], read_filter(value["nested"]["filter"]))
    return read_filter(value)


def selector(value):
    if isinstance(value, dict):
        [(name, keys)] = value.items()
        return {"include": q.PayloadSelector.Include, "exclude": q.PayloadSelector.Exclude}[name](keys)
    return value


def shard(points):
    made = q.EdgeShard.create(tempfile.mkdtemp(), q.EdgeConfig(vectors={"": q.EdgeVectorParams(3, q.Distance.Dot)}))
    made.update(q.UpdateOperation.create_field_index("kind", q.PayloadSchemaType.Keyword))
    made.update(q.UpdateOperation.upsert_points([q.Point(p["id"], {"": p["vector"]}, p["payload"]) for p in points]))
    return made


shared = shard([point for tenant in ["beta", "acme", "gamma"] for point in cases["points"][tenant]["sent"]])
plain = shard(cases["points"]["acme"]["own"])
own = {sent["id"]: str(mine["id"]) for sent, mine in zip(cases["points"]["acme"]["sent"], cases["points"]["acme"]["own"])}


def unscoped(payload):
    assert payload[KEY] == NAMESPACE, payload
    return {key: value for key, value in payload.items() if key not in (KEY, COMPANION)}


def kinds(store, wanted):
    return {str(hit.value): hit.count for hit in store.facet(q.FacetRequest("kind", limit=9, exact=True, filter=wanted))}


found_any, found_some = 0, 0
for case in cases["cases"]:
    sent, client = case["sent"], case["client"]
    forced, wanted = read_filter(sent["filter"]), read_filter(client["filter"]) if "filter" in client else None
    nearest = q.Query.Nearest(client["query"])
    asked = False if client.get("with_payload") is None else client["with_payload"]
    got = shared.query(q.QueryRequest(limit=99, query=nearest, filter=forced, with_payload=selector(sent["with_payload"])))
    expected = plain.query(q.QueryRequest(limit=99, query=nearest, filter=wanted, with_payload=selector(asked)))
    assert [(own[str(p.id)], p.score) for p in got] == [(str(p.id), p.score) for p in expected], case
    payloads = [unscoped(p.payload) for p in got]
    assert asked is False or payloads == [p.payload for p in expected], (case, payloads, expected)
    few = case["limit"]
    got_few = shared.query(q.QueryRequest(limit=few, query=nearest, filter=forced))
    assert [own[str(p.id)] for p in got_few] == [str(p.id) for p in expected][:few], case
    assert shared.count(q.CountRequest(exact=True, filter=forced)) == len(expected), case
    assert kinds(shared, forced) == kinds(plain, wanted), case
    found_any += bool(expected)
    found_some += 0 < len(expected) < len(own)
assert found_any > len(cases["cases"]) // 4 and found_some > 20, (found_any, found_some)

# The second wall: an upsert or an update of vectors that is acme's leaves what is there and not acme's, even under the same id.
theirs = cases["points"]["beta"]["sent"][0]
before = shared.retrieve([theirs["id"]], True, True)[0]
ours = read_filter(cases["update_filter"])
fresh = "99999999-9999-9999-9999-999999999999"
hijack = [q.Point(i, {"": [9.0, 9.0, 9.0]}, {KEY: NAMESPACE, "hijacked": True}) for i in [theirs["id"], fresh, next(iter(own))]]
shared.update(q.UpdateOperation.upsert_points(hijack, condition=ours))
shared.update(q.UpdateOperation.update_vectors([q.PointVectors(theirs["id"], {"": [8.0, 8.0, 8.0]})], condition=ours))
after = shared.retrieve([theirs["id"]], True, True)[0]
assert (before.payload, before.vector) == (after.payload, after.vector), after
assert shared.retrieve([fresh, next(iter(own))], True, False)[0].payload["hijacked"], "one's own, old or new, is written"
# And what is changed by filter.
shared.update(q.UpdateOperation.set_payload_by_filter(read_filter(cases["fold"]), {"hijacked": True}))
shared.update(q.UpdateOperation.delete_points_by_filter(read_filter(cases["fold"])))
left = {str(p.id) for p in shared.scroll(q.ScrollRequest(limit=999))[0]}
assert {p["id"] for tenant in ["beta", "gamma"] for p in cases["points"][tenant]["sent"]} <= left
assert not any("hijacked" in p.payload and p.payload[KEY] != NAMESPACE for p in shared.scroll(q.ScrollRequest(limit=999, with_payload=True))[0])
print("qdrant engine: ok,", len(cases["cases"]), "filters,", found_some, "found some")
