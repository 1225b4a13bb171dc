// The official JavaScript client of Chroma, unmodified: its ordinary workflow as two tenants at once on one collection.
// usage: node chroma_client.mjs EDGE_PORT ACME_TOKEN BETA_TOKEN
import assert from "node:assert/strict";
import { ChromaClient } from "chromadb";

const [edge, ...tokens] = process.argv.slice(2);
const client = (token) => new ChromaClient({
  host: "127.0.0.1", port: Number(edge), ssl: false, tenant: "default_tenant", database: "default_database",
  headers: { Authorization: `Bearer ${token}` },
});
// No embedding model: vectors are given.
const embeddingFunction = { name: "none", generate: async () => { throw new Error("vectors are given"); } };
const [acme, beta] = tokens.map(client);

const workflow = async (chroma, who) => {
  const docs = await chroma.getOrCreateCollection({ name: "docs", embeddingFunction });
  await docs.add({
    ids: ["a", "b", "c"], embeddings: [[1, 0, 0], [0, 1, 0], [0.9, 0.1, 0]],
    documents: ["a", "b", "c"].map((id) => `${who} ${id}`), metadatas: [{ n: 1 }, { n: 2 }, { n: 3 }],
  });
  await docs.upsert({ ids: ["c", "d"], embeddings: [[0.8, 0.2, 0], [0, 0, 1]], documents: [`${who} c2`, `${who} d`], metadatas: [{ n: 3 }, { n: 4 }] });
  await docs.update({ ids: ["b"], embeddings: [[0, 1, 0]], documents: [`${who} b2`], metadatas: [{ n: 20 }] });
  assert.equal(await docs.count(), 4);
  const found = await docs.query({ queryEmbeddings: [[1, 0, 0]], nResults: 2 });
  assert.deepEqual(found.ids, [["a", "c"]]);
  assert.deepEqual(found.documents, [[`${who} a`, `${who} c2`]]);
  const got = await docs.get({ where: { n: { $gte: 4 } } });
  assert.deepEqual(got.ids, ["b", "d"]);
  assert.deepEqual(got.metadatas, [{ n: 20 }, { n: 4 }]);
  assert.deepEqual((await docs.peek({ limit: 3 })).ids, ["a", "b", "c"]);
  await docs.delete({ ids: ["a"] });
  await docs.delete({ where: { n: 4 } });
  assert.equal(await docs.count(), 2);
  assert.deepEqual((await docs.get()).documents, [`${who} b2`, `${who} c2`]);
  assert.deepEqual((await chroma.listCollections()).map((collection) => collection.name), ["docs"]);
  assert.equal(await chroma.countCollections(), 1);
  return docs;
};

const [ours, theirs] = await Promise.all([workflow(acme, "acme"), workflow(beta, "beta")]);
assert.notEqual(ours.id, theirs.id);
await theirs.delete({ where: { n: { $gt: 0 } } });
assert.deepEqual([await ours.count(), await theirs.count()], [2, 0]);
await assert.rejects(acme.deleteCollection({ name: "docs" }));
console.log("chroma client: ok");
