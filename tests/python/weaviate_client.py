"""The official Weaviate client (REST and GraphQL), unmodified, as two tenants on one class, through the proxy.

usage: weaviate_client.py PHASE EDGE_PORT ACME_TOKEN BETA_TOKEN

PHASE is `work`, or `after`: once strange objects were put into the class by another way.
"""

import sys
import warnings

warnings.simplefilter("ignore")  # of the client: that it is not the newest

import weaviate

phase, edge, acme_token, beta_token = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4]


def client(token):
    headers = {"Authorization": f"Bearer {token}", "Host": "weaviate.test"}
    return weaviate.Client(url=f"http://127.0.0.1:{edge}", additional_headers=headers)


def uuid(number):
    return f"00000000-0000-4000-8000-{number:012d}"


def refused(call, *words):
    try:
        text = str(call())  # GraphQL's errors are an answer
    except Exception as error:
        text = str(error)
    assert any(word in text for word in words), text


def titles(answer, name="Docs"):
    assert "errors" not in answer, answer
    return [item["title"] for item in answer["data"]["Get"][name]]


def listed(client):
    return [item["properties"].get("title") for item in client.data_object.get(class_name="Docs")["objects"]]


def count(client):
    return client.query.aggregate("Docs").with_meta_count().do()["data"]["Aggregate"]["Docs"][0]["meta"]["count"]


acme, beta = client(acme_token), client(beta_token)
near = {"vector": [1.0, 0.0, 0.0]}

if phase == "after":
    assert titles(acme.query.get("Docs", ["title"]).with_near_vector(near).with_limit(9).do()) == ["c2", "b"]
    assert titles(acme.query.get("Docs", ["title"]).with_bm25("price").do()) == []
    assert listed(acme) == ["b", "c2"]
    assert count(acme) == 2
    assert acme.data_object.get_by_id(uuid(90), class_name="Docs") is None
    assert acme.data_object.get_by_id(uuid(91), class_name="Docs") is None
    acme.data_object.update({"tenant_id": "t_acme", "n": 1}, class_name="Docs", uuid=uuid(90))
    acme.data_object.update({"Tenant_id": "t_acme", "n": 1}, class_name="Docs", uuid=uuid(91))
    assert listed(acme) == ["b", "c2"]  # a merge takes nothing in
    print("weaviate client, after: ok")
    sys.exit()

add = lambda client, number, vector, **properties: client.data_object.create(properties, "Docs", uuid(number), vector)
add(acme, 1, [1.0, 0.0, 0.0], title="a", n=1, kind="x")
add(acme, 2, [0.0, 1.0, 0.0], title="b", n=2, kind="y", tenant_id="t_beta")
add(beta, 1, [1.0, 0.0, 0.0], title="beta's a", n=7)
with acme.batch as batch:
    batch.add_data_object({"title": "c", "n": 3, "Tenant_id": "t_beta"}, "Docs", uuid(3), [0.9, 0.1, 0.0])
    batch.add_data_object({"title": "note"}, "Notes", uuid(4), [0.0, 0.0, 1.0])
with beta.batch as batch:
    batch.add_data_object({"title": "beta's z", "n": 1}, "Docs", uuid(9), [0.0, 0.0, 1.0])

assert listed(acme) == ["a", "b", "c"] and listed(beta) == ["beta's a", "beta's z"]
got = acme.data_object.get_by_id(uuid(2), class_name="Docs", with_vector=True)
assert got["properties"] == {"title": "b", "n": 2, "kind": "y"} and got["vector"] == [0.0, 1.0, 0.0], got
assert "tenant" not in got
assert acme.data_object.exists(uuid(1), class_name="Docs") and not acme.data_object.exists(uuid(9), class_name="Docs")
assert acme.data_object.get_by_id(uuid(9), class_name="Docs") is None
after = acme.data_object.get(class_name="Docs", limit=1, after=uuid(1))
assert [item["id"] for item in after["objects"]] == [uuid(2)], after

get = lambda: acme.query.get("Docs", ["title", "n"])
assert titles(get().with_near_vector(near).with_limit(2).do()) == ["a", "c"]
assert titles(get().with_near_object({"id": uuid(2)}).with_limit(1).do()) == ["b"]
refused(lambda: get().with_near_object({"id": uuid(9)}).do(), "vector not found")  # beta's
assert titles(get().with_where({"path": ["n"], "operator": "GreaterThan", "valueInt": 1}).do()) == ["b", "c"]
wide = {"operator": "Or", "operands": [
    {"path": ["tenant_id"], "operator": "Equal", "valueText": "t_beta"},
    {"path": ["tenant_id"], "operator": "NotEqual", "valueText": "x"},
]}
assert titles(get().with_where(wide).do()) == ["a", "b", "c"]
assert titles(get().with_where(wide["operands"][0]).do()) == []
assert titles(get().with_bm25("c", properties=["title"]).do()) == ["c"]
assert titles(get().with_hybrid("b", alpha=0).do())[0] == "b"
more = get().with_additional(["id", "distance"]).with_near_vector(near).with_limit(1).do()["data"]["Get"]["Docs"][0]
assert more == {"title": "a", "n": 1, "_additional": {"id": uuid(1), "distance": 0}}, more
assert titles(acme.query.get("Docs", ["title"]).with_sort({"path": ["n"], "order": "desc"}).do()) == ["c", "b", "a"]
assert titles(acme.query.raw('{ Get { Docs(limit: 1, where: {path: ["title"], operator: Equal, valueText: "b"}) { title } } }')) == ["b"]
assert (count(acme), count(beta)) == (3, 2)
groups = acme.query.aggregate("Docs").with_group_by_filter(["kind"]).with_fields("groupedBy { value } meta { count }").do()
assert groups["data"]["Aggregate"]["Docs"] == [
    {"groupedBy": {"path": ["kind"], "value": value}, "meta": {"count": 1}} for value in ("x", "y")], groups

acme.data_object.update({"n": 10, "tenant_id": "t_beta"}, class_name="Docs", uuid=uuid(1))
acme.data_object.replace({"title": "c2", "n": 4}, class_name="Docs", uuid=uuid(3), vector=[0.9, 0.1, 0.0])
beta.batch.delete_objects("Docs", {"path": ["n"], "operator": "Equal", "valueInt": 10})
beta.batch.delete_objects("Docs", {"path": ["tenant_id"], "operator": "Equal", "valueText": "t_acme"})
assert listed(acme) == ["a", "b", "c2"]
refused(lambda: beta.data_object.delete(uuid(3), class_name="Docs"), "404")
acme.data_object.reference.add(uuid(1), "about", uuid(4), "Docs", "Notes")
link = {"beacon": f"weaviate://localhost/Notes/{uuid(4)}", "href": f"/v1/objects/Notes/{uuid(4)}"}
assert acme.data_object.get_by_id(uuid(1), class_name="Docs")["properties"] == {"title": "a", "n": 10, "kind": "x", "about": [link]}
acme.data_object.reference.update(uuid(1), "about", [uuid(4)], "Docs", "Notes")
acme.data_object.reference.delete(uuid(1), "about", uuid(4), "Docs", "Notes")
with acme.batch as batch:
    batch.add_reference(uuid(1), "Docs", "about", uuid(4), "Notes")
assert acme.data_object.get_by_id(uuid(1), class_name="Docs")["properties"]["about"] == [link]
gone = acme.batch.delete_objects("Docs", {"path": ["n"], "operator": "Equal", "valueInt": 10}, output="verbose")
assert gone["results"]["successful"] == 1 and "tenant_id" not in str(gone), gone
assert listed(acme) == ["b", "c2"] and listed(beta) == ["beta's a", "beta's z"]

words = "tenant's namespace"
refused(lambda: acme.data_object.get(class_name="Docs", tenant="t_beta"), words)
refused(lambda: acme.data_object.get(), words)
refused(lambda: acme.data_object.create({"title": "x"}, "Secrets"), words)
refused(lambda: acme.data_object.create({"title": "x"}, "Docs", tenant="t_beta"), words)
refused(lambda: acme.query.get("Docs", ["title"]).with_tenant("t_beta").do(), words)
refused(lambda: acme.query.get("Secrets", ["title"]).do(), words)
refused(lambda: acme.query.get("Docs", ["about { ... on Notes { title } }"]).do(), "does not take")
refused(lambda: acme.query.get("Docs", ["title"]).with_generate(single_prompt="{title}").do(), "does not know")
refused(lambda: acme.data_object.reference.add(uuid(2), "about", uuid(4), "Docs", "Secrets"), words)
refused(lambda: acme.schema.get(), "does not serve")
assert acme.cluster.get_nodes_status() == [{"status": "HEALTHY", "version": "1.31.0"}]
refused(lambda: acme.cluster.get_nodes_status("Docs"), "does not serve")
refused(lambda: get().with_near_vector({"vector": [1.0]}).do(), "vector lengths")  # the backend's own word
print("weaviate client: ok")
