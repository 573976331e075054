// Run by an init container: writes the failure zone of the pod's node to a file.
const { readFileSync, writeFileSync } = require("node:fs");
const { get } = require("node:https");

const account = "/var/run/secrets/kubernetes.io/serviceaccount";
const token = readFileSync(`${account}/token`, "utf8");
const options = {
  host: process.env.KUBERNETES_SERVICE_HOST,
  port: process.env.KUBERNETES_SERVICE_PORT,
  path: `/api/v1/nodes/${process.env.NODE_NAME}`,
  ca: readFileSync(`${account}/ca.crt`),
  headers: { authorization: `Bearer ${token}` },
  timeout: 10000,
};

function fail(reason) {
  process.stderr.write(`cannot read the zone of node ${process.env.NODE_NAME}: ${reason}\n`);
  process.exit(1);
}

const request = get(options, (response) => {
  let text = "";
  response.on("data", (chunk) => (text += chunk));
  response.on("end", () => {
    if (response.statusCode !== 200) fail(`status ${response.statusCode}`);
    const labels = JSON.parse(text).metadata.labels ?? {};
    writeFileSync("/etc/ottla/zone/zone", labels["topology.kubernetes.io/zone"] ?? "");
  });
});
request.on("timeout", () => fail("no answer"));
request.on("error", (error) => fail(error.message));
