// A certified OpenID provider with one client of the tenant acme: client credentials, JWT access tokens with org_id.
// usage: node provider.mjs PORT rsa|p256
import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const [port, kind] = process.argv.slice(2);
const pair = kind === "rsa" ? generateKeyPairSync("rsa", { modulusLength: 2048 }) : generateKeyPairSync("ec", { namedCurve: "P-256" });
const alg = kind === "rsa" ? "RS256" : "ES256";
const jwk = { ...pair.privateKey.export({ format: "jwk" }), kid: `${kind}-${Date.now()}`, use: "sig", alg };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [jwk] },
  clients: [{
    client_id: "acme-app", client_secret: "demo-secret-demo-secret", grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
    token_endpoint_auth_method: "client_secret_post", id_token_signed_response_alg: alg,
  }],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({ scope: "", audience: "urn:partywall", accessTokenFormat: "jwt", jwt: { sign: { alg } } }),
    },
  },
  extraTokenClaims: () => ({ org_id: "acme" }),
});
provider.listen(Number(port), "127.0.0.1");
