"""The official PostgREST client, unmodified, as two tenants on one table, through the proxy.

usage: postgrest_client.py EDGE_PORT ACME_TOKEN BETA_TOKEN use|look
"""

import sys

from postgrest import APIError, CountMethod, ReturnMethod, SyncPostgrestClient

edge, acme_token, beta_token, phase = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


def client(token):
    headers = {"Authorization": f"Bearer {token}", "Host": "postgrest.test"}
    return SyncPostgrestClient(f"http://127.0.0.1:{edge}", headers=headers)


def refused(query, word):
    try:
        query.execute()
    except APIError as error:
        assert word in str(error.code) + str(error.message), error
        return error
    raise AssertionError(f"was not refused: {word}")


acme, beta = client(acme_token), client(beta_token)
docs, theirs = (lambda: acme.from_("docs")), (lambda: beta.from_("docs"))

if phase == "use":
    made = docs().insert([
        {"id": 1, "title": "doc a", "n": 1, "tags": ["x"], "embedding": "[1,0,0]"},
        {"id": 2, "title": "doc b", "n": 2, "tags": ["x", "y"], "embedding": "[0,1,0]"},
        {"id": 3, "title": "doc c, (d)", "n": None, "tags": [], "embedding": "[0.9,0.1,0]"},
    ]).execute()
    assert [row["id"] for row in made.data] == [1, 2, 3] and "tenant_id" not in made.data[0], made.data
    docs().insert({"id": 4, "title": "late", "tenant_id": "t_beta"}, returning=ReturnMethod.minimal).execute()
    theirs().insert({"id": 11, "title": "beta's a", "n": 1}).execute()
    theirs().insert([{"id": 12, "title": "beta's b", "n": 2}], returning=ReturnMethod.minimal).execute()

    everything = docs().select("*").order("id").execute().data
    assert [row["id"] for row in everything] == [1, 2, 3, 4], everything
    assert all("tenant_id" not in row for row in everything)
    assert everything[0]["embedding"] == "[1,0,0]"
    assert docs().select("id", "name:title").eq("id", 1).execute().data == [{"id": 1, "name": "doc a"}]
    assert docs().select("title").eq("title", "doc c, (d)").execute().data == [{"title": "doc c, (d)"}]
    assert docs().select("id").in_("id", [1, 11, 12]).execute().data == [{"id": 1}]
    assert docs().select("id").is_("n", None).order("id", desc=True).execute().data == [{"id": 4}, {"id": 3}]
    assert docs().select("id").contains("tags", ["x", "y"]).execute().data == [{"id": 2}]
    assert docs().select("id").or_("n.gt.0,tenant_id.eq.t_beta").order("id").execute().data == [{"id": 1}, {"id": 2}]
    assert docs().select("id").not_.like("title", "doc*").execute().data == [{"id": 4}]
    assert docs().select("id").eq("tenant_id", "t_beta").execute().data == []
    assert docs().select("id").order("id").range(1, 2).execute().data == [{"id": 2}, {"id": 3}]
    assert docs().select("id").eq("id", 2).single().execute().data == {"id": 2}
    assert docs().select("id").eq("id", 11).maybe_single().execute() is None
    counted = docs().select("*", count=CountMethod.exact).execute()
    assert (len(counted.data), counted.count) == (4, 4)
    assert docs().select("*", count=CountMethod.exact, head=True).gt("n", 0).execute().count == 2

    refused(docs().select("*, secrets(*)"), "query_forbidden")
    refused(docs().select("id, ...secrets(*)"), "query_forbidden")
    refused(docs().select("n.sum()"), "query_forbidden")
    refused(docs().select("x:tenant_id"), "query_forbidden")
    refused(docs().select("*", count=CountMethod.planned), "field_invalid")
    refused(docs().upsert({"id": 11, "title": "hijacked"}), "field_invalid")
    refused(docs().update({"tenant_id": "t_beta"}).eq("id", 1), "field_invalid")
    refused(docs().update({"n": 0}), "field_invalid")
    refused(docs().delete(), "field_invalid")
    refused(acme.from_("secrets").select("*"), "namespace_forbidden")
    refused(acme.schema("t_beta").from_("docs").select("*"), "namespace_forbidden")
    refused(acme.rpc("match_documents", {"query": [1, 0, 0]}), "endpoint_unknown")
    error = refused(docs().select("nothing"), "42703")
    assert error.hint is None and error.details is None
    assert refused(docs().insert({"id": 11, "title": "mine"}), "23505").details is None

    assert docs().update({"n": 10}).or_("id.eq.1,tenant_id.eq.t_beta").execute().data[0]["n"] == 10
    assert theirs().update({"title": "hijacked"}).gt("id", 0).execute().data[0]["title"] == "hijacked"
    assert docs().select("title").eq("id", 1).execute().data == [{"title": "doc a"}]
    assert theirs().delete().in_("id", [1, 2]).execute().data == []
    assert docs().delete().gte("id", 2).lt("id", 12).max_affected(9).execute().data[0]["id"] == 2
    assert len(theirs().delete().gt("id", 0).execute().data) == 2

assert docs().select("id", "n").execute().data == [{"id": 1, "n": 10}]
assert docs().select("*", count=CountMethod.exact).gt("id", 0).execute().data[0]["title"] == "doc a"
assert docs().select("id").eq("id", 50).maybe_single().execute() is None
assert theirs().select("*").execute().data == []
print("postgrest client: ok")
