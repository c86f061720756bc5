// What `kubectl kustomize` makes of each folder of deploy/kubernetes, against the schemas of the
// Kubernetes API and of the Prometheus operator: types, required fields, and no field that the API
// does not know, which it would drop or refuse.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

const folder = process.env.MANIFESTS;
const load = createRequire(join(process.cwd(), "node_modules/"));
const yaml = load("yaml");

/** The class of the models that stands for this kind, by the folders that the packages have. */
function modelOf({ apiVersion, kind }) {
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  const modules = group.endsWith("coreos.com") ? "@kubernetes-models/prometheus-operator"
                                               : "kubernetes-models";
  return load([modules, group, version, kind].filter(Boolean).join("/"))[kind];
}

/**
 * The value behind an observer that notes in `unread` the paths which nobody has looked at: the
 * validators read each field that they know, and the schemas allow others.
 */
function observed(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const children = {};
  for (const key of Object.keys(value)) {
    unread.add(`${path}/${key}`);
    children[key] = observed(value[key], `${path}/${key}`, unread);
  }
  return new Proxy(value, {
    get(target, key) {
      unread.delete(`${path}/${String(key)}`);
      return Object.hasOwn(children, key) ? children[key] : Reflect.get(target, key);
    },
  });
}

/** What is wrong with a manifest, in words; empty for a good one. */
function faults(manifest) {
  const unread = new Set();
  try {
    // Not on a model made of it: to make one looks at everything.
    modelOf(manifest).prototype.validate.call(observed(manifest, "", unread));
  } catch (error) {
    return [error.message];
  }
  // Below a field that is unknown itself nothing has been read either: the shortest path says it.
  return [...unread]
    .filter((path) => ![...unread].some((other) => path.startsWith(`${other}/`)))
    .map((path) => `unknown field ${path}`);
}

function build(name) {
  const text = execFileSync("kubectl", ["kustomize", join(folder, name)], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return yaml.parseAllDocuments(text).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS();
  });
}

const folders = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

test("there is something to check", () => {
  assert.deepEqual(folders.sort(), ["base", "daemonset", "deployment", "monitoring"]);
});

for (const name of folders) {
  for (const manifest of build(name)) {
    test(`${name}: ${manifest.kind} ${manifest.metadata.name}`, () => {
      assert.deepEqual(faults(manifest), []);
    });
  }
}

test("the check finds what is wrong", () => {
  const good = () => build("base").find((manifest) => manifest.kind === "Deployment");
  const container = (manifest) => manifest.spec.template.spec.containers[0];
  assert.deepEqual(faults(good()), []);

  const misspelt = good();
  container(misspelt).securityContext.readOnlyRootFileSystem = true;
  assert.match(faults(misspelt).join(), /unknown field .*\/readOnlyRootFileSystem/);

  const mistyped = good();
  mistyped.spec.replicas = "three";
  assert.match(faults(mistyped).join(), /replicas/);

  const incomplete = good();
  delete container(incomplete).name;
  assert.match(faults(incomplete).join(), /name/);
});
