// The official Milvus client for REST, unmodified, as two tenants on one collection, through the proxy.
// usage: node milvus_client.mjs EDGE_PORT ACME_TOKEN BETA_TOKEN use|look
import assert from "node:assert/strict";
import dns from "node:dns";
import { HttpClient } from "@zilliz/milvus2-sdk-node";

const [edge, acmeToken, betaToken, phase] = process.argv.slice(2);
// Only the host's name is ours to resolve.
const lookup = dns.lookup;
dns.lookup = (host, ...rest) => lookup(host === "milvus.test" ? "127.0.0.1" : host, ...rest);
const client = (token) => new HttpClient({ endpoint: `http://milvus.test:${edge}`, token });
const acme = client(acmeToken), beta = client(betaToken);
const docs = (rest) => ({ collectionName: "docs", ...rest });
const ids = (answer) => { assert.equal(answer.code, 0, JSON.stringify(answer)); return answer.data.map((row) => row.id); };
const refused = async (call, word) => {
  try {
    await call();
  } catch (error) {
    assert.match(error.message, new RegExp(word));
    return;
  }
  assert.fail(`was not refused: ${word}`);
};

if (phase === "use") {
  assert.deepEqual((await acme.listCollections()).data, ["docs"]);
  assert.equal((await acme.hasCollection(docs())).data.has, true);
  const made = await acme.insert(docs({ data: [
    { id: "a", vector: [1, 0, 0], text: "doc a", n: 1 },
    { id: "b", vector: [0, 1, 0], text: "doc b", n: 2, tenant_id: "t_beta" },
    { id: "c", vector: [0.9, 0.1, 0], text: "doc c", n: 3 },
  ] }));
  assert.deepEqual(made.data, { insertCount: 3, insertIds: ["a", "b", "c"] });
  await beta.insert(docs({ data: [{ id: "a", vector: [1, 0, 0], text: "beta's a", n: 1 }] }));
  const upserted = await beta.upsert(docs({ data: [{ id: "b", vector: [0, 1, 0], text: "beta's b" }, { id: "z", vector: [0, 0, 1], text: "beta's z" }] }));
  assert.deepEqual(upserted.data, { upsertCount: 2, upsertIds: ["b", "z"] });

  const all = await acme.query(docs({ outputFields: ["*"], limit: 10 }));
  assert.deepEqual(all.data, [
    { id: "a", vector: [1, 0, 0], text: "doc a", n: 1 },
    { id: "b", vector: [0, 1, 0], text: "doc b", n: 2 },
    { id: "c", vector: [0.9, 0.1, 0], text: "doc c", n: 3 },
  ]);
  assert.deepEqual((await acme.get(docs({ id: ["a", "beta:a"], outputFields: ["text"] }))).data, [{ id: "a", text: "doc a" }]);
  assert.deepEqual((await beta.get(docs({ id: "a", outputFields: ["text"] }))).data, [{ id: "a", text: "beta's a" }]);
  assert.deepEqual(ids(await acme.query(docs({ filter: 'n > 1 and id != "c"', outputFields: ["n"] }))), ["b"]);
  assert.deepEqual(ids(await acme.query(docs({ filter: "id in {ids}", exprParams: { ids: ["c", "z"] }, outputFields: ["n"] }))), ["c"]);
  assert.deepEqual(ids(await acme.query(docs({ filter: 'tenant_id == "t_beta" or 1 == 1', outputFields: ["n"] }))), ["a", "b", "c"]);
  assert.deepEqual(ids(await acme.query(docs({ filter: 'tenant_id == "t_beta"', outputFields: ["n"] }))), []);
  assert.deepEqual((await acme.query(docs({ outputFields: ["count(*)"] }))).data, [{ "count(*)": 3 }]);
  assert.deepEqual((await acme.getCollectionStatistics(docs())).data, { rowCount: 3 });

  const near = await acme.search(docs({ data: [[1, 0, 0]], outputFields: ["text"], limit: 2 }));
  assert.deepEqual(near.data.map(({ id, text }) => [id, text]), [["a", "doc a"], ["c", "doc c"]]);
  assert.ok(near.data.every((row) => Object.keys(row).sort().join() === "distance,id,text"));
  const two = await acme.search(docs({ data: [[1, 0, 0], [0, 1, 0]], limit: 2 }));
  assert.deepEqual(two.topks, [2, 2]);
  assert.deepEqual(two.data.map((part) => part.map((row) => row.id)), [["a", "c"], ["b", "c"]]);
  const wide = 'tenant_id != "x" or tenant_id in ["t_beta"] or n < 0 or 1 == 1';
  assert.deepEqual(ids(await acme.search(docs({ data: [[1, 0, 0]], limit: 9, filter: wide }))), ["a", "c", "b"]);
  const hybrid = await acme.hybridSearch(docs({
    search: [{ data: [[1, 0, 0]], limit: 9, annsField: "vector", filter: "1 == 1" }, { data: [[0, 1, 0]], limit: 9, annsField: "vector" }],
    rerank: { strategy: "rrf", params: { k: 60 } }, limit: 9, outputFields: ["text"],
  }));
  assert.deepEqual(ids(hybrid).sort(), ["a", "b", "c"]);

  for (const escape of ["1 == 1) or (1 == 1", 'n == "x\\" or 1 == 1', "n == 1 // ", "n == {__pw_t}", "random_sample(0.9)"]) {
    await refused(() => acme.query(docs({ filter: escape, outputFields: ["*"] })), "field_invalid");
  }
  await refused(() => acme.insert(docs({ data: [{ id: 7, vector: [1, 0, 0] }] })), "field_invalid");
  await refused(() => acme.query({ collectionName: "secrets", outputFields: ["*"] }), "namespace_forbidden");
  await refused(() => acme.query(docs({ dbName: "other", outputFields: ["*"] })), "namespace_forbidden");
  await refused(() => acme.dropCollection(docs()), "namespace_forbidden");
  await refused(() => acme.releaseCollection(docs()), "endpoint_unknown");
  await refused(() => acme.createAlias({ collectionName: "docs", aliasName: "x" }), "endpoint_unknown");
  const wrong = await acme.query(docs({ filter: "n ==", outputFields: ["*"] }));
  assert.equal(wrong.code, 1100);
  assert.match(wrong.message, /failed to create query plan/);

  await beta.upsert(docs({ data: [{ id: "c", vector: [0, 0, 1], text: "hijacked" }] }));
  await beta.delete(docs({ filter: 'id in ["b"] or id == "acme:a"' }));
  assert.deepEqual(ids(await acme.query(docs({ outputFields: ["text"] }))), ["a", "b", "c"]);
  assert.deepEqual((await acme.get(docs({ id: "c", outputFields: ["text"] }))).data, [{ id: "c", text: "doc c" }]);
  assert.deepEqual((await acme.delete(docs({ filter: 'id == "b"' }))).data, { deleteCount: 1 });
  assert.deepEqual((await beta.delete(docs({ filter: "n >= 0 or 1 == 1" }))).data, { deleteCount: 3 });
}
assert.deepEqual(ids(await acme.query(docs({ outputFields: ["*"] }))), ["a", "c"]);
assert.deepEqual(ids(await acme.search(docs({ data: [[1, 0, 0]], limit: 9 }))), ["a", "c"]);
assert.deepEqual(ids(await beta.query(docs({ outputFields: ["*"] }))), []);
console.log("milvus client: ok");
