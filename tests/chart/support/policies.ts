import { readFileSync } from "node:fs";
import { join } from "node:path";
import { treeRoot } from "../../support/ottla-server.ts";
import {
  type Container,
  containersOf,
  isSelected,
  type Manifest,
  type PodTemplate,
  podTemplateOf,
} from "./manifests.ts";

/** The variables of `ottla serve`, as its reference page has them, and the address of the command line. */
const reference = readFileSync(join(treeRoot, "docs/configuration.md"), "utf8");
const VARIABLES = new Set(["OTTLA_ADDRESS", ...(reference.match(/\bOTTLA_[A-Z0-9_]+/g) ?? [])]);

/** What is wrong with the manifests by the house's own rules, one sentence each. */
export function findViolations(manifests: readonly Manifest[]): readonly string[] {
  const faults: string[] = [];
  for (const manifest of manifests) {
    const name = `${manifest.kind} ${manifest.metadata.name}`;
    for (const label of ["app.kubernetes.io/name", "app.kubernetes.io/instance", "helm.sh/chart"]) {
      const isNamespaced = !manifest.kind.startsWith("Cluster");
      if (isNamespaced && manifest.metadata.labels?.[label] === undefined)
        faults.push(`${name}: has no label ${label}`);
    }
    const template = podTemplateOf(manifest);
    if (template === undefined) continue;
    faults.push(...podFaults(template).map((fault) => `${name}: ${fault}`));
    for (const container of containersOf(template)) {
      const isService = manifest.kind !== "Pod" && template.spec.containers.includes(container);
      const found = [...containerFaults(container), ...(isService ? probeFaults(container) : [])];
      faults.push(...found.map((fault) => `${name}, container ${container.name}: ${fault}`));
    }
    faults.push(...reachFaults(manifest, template, manifests).map((fault) => `${name}: ${fault}`));
  }
  faults.push(...serviceFaults(manifests));
  return faults;
}

function podFaults({ spec }: PodTemplate): string[] {
  const faults: string[] = [];
  if (spec.automountServiceAccountToken === true)
    faults.push("mounts a service account token into all of its containers");
  if (spec.automountServiceAccountToken === undefined)
    faults.push("does not say automountServiceAccountToken");
  if (spec.securityContext?.runAsNonRoot !== true) faults.push("may run as root");
  if (spec.securityContext?.seccompProfile?.type !== "RuntimeDefault")
    faults.push("has no seccomp profile RuntimeDefault");
  return faults;
}

function containerFaults(container: Container): string[] {
  const faults: string[] = [];
  const { image, resources, securityContext: security } = container;
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  if (tag === undefined || tag === "latest") faults.push(`its image ${image} has no tag that stays`);
  if (resources?.requests?.["cpu"] === undefined || resources.requests["memory"] === undefined)
    faults.push("requests no cpu or no memory");
  if (resources?.limits?.["memory"] === undefined) faults.push("has no memory limit");
  for (const { name } of container.env ?? []) {
    if (name.startsWith("OTTLA_") && !VARIABLES.has(name)) faults.push(`its ${name} is no variable of ottla`);
  }
  if (security?.allowPrivilegeEscalation !== false) faults.push("may escalate its privileges");
  if (security?.readOnlyRootFilesystem !== true) faults.push("may write to its root file system");
  if (security?.capabilities?.drop?.includes("ALL") !== true) faults.push("does not drop all capabilities");
  return faults;
}

function probeFaults(container: Container): string[] {
  const faults: string[] = [];
  const portNames = new Set(container.ports?.map(({ name }) => name));
  for (const kind of ["startupProbe", "livenessProbe", "readinessProbe"] as const) {
    const probe = container[kind];
    const port = probe?.httpGet?.port;
    if (probe === undefined) faults.push(`has no ${kind}`);
    else if (typeof port === "string" && !portNames.has(port))
      faults.push(`its ${kind} asks port "${port}", which it does not have`);
  }
  if (container.livenessProbe?.httpGet?.path === container.readinessProbe?.httpGet?.path)
    faults.push("is killed for what only makes it unready");
  return faults;
}

/** What a pod mounts must be there, and its StatefulSet's service too. */
function reachFaults(manifest: Manifest, template: PodTemplate, all: readonly Manifest[]): string[] {
  const faults: string[] = [];
  const find = (kind: string, name: string): Manifest | undefined =>
    all.find((other) => other.kind === kind && other.metadata.name === name);
  const claims = (manifest.spec?.["volumeClaimTemplates"] ?? []) as { metadata: { name: string } }[];
  const volumes = new Set(claims.map(({ metadata }) => metadata.name));
  for (const volume of template.spec.volumes ?? []) {
    volumes.add(volume.name);
    const secretName = volume.secret?.secretName;
    const isOwn = secretName?.endsWith("-cluster-secret") === true;
    if (isOwn && find("Secret", secretName) === undefined)
      faults.push(`mounts the Secret ${secretName}, which does not exist`);
    const configMap = volume.configMap && find("ConfigMap", volume.configMap.name);
    if (volume.configMap !== undefined && configMap === undefined)
      faults.push(`mounts the ConfigMap ${volume.configMap.name}, which does not exist`);
    for (const { key } of volume.configMap?.items ?? []) {
      if (configMap?.data?.[key] === undefined)
        faults.push(`mounts ${key} of a ConfigMap that has no such key`);
    }
  }
  for (const container of containersOf(template)) {
    for (const { name } of container.volumeMounts ?? []) {
      if (!volumes.has(name)) faults.push(`container ${container.name} mounts ${name}, which is no volume`);
    }
    for (const { valueFrom } of container.env ?? []) {
      const { name, key } = valueFrom?.configMapKeyRef ?? {};
      if (name !== undefined && find("ConfigMap", name)?.data?.[String(key)] === undefined)
        faults.push(`container ${container.name} reads ${key} of a ConfigMap ${name}, which has none`);
    }
  }
  if (manifest.kind !== "StatefulSet") return faults;
  const serviceName = String(manifest.spec?.["serviceName"]);
  const service = find("Service", serviceName);
  if (service === undefined) faults.push(`its service ${serviceName} does not exist`);
  const hasPeers = (manifest.spec?.["replicas"] ?? 1) !== 1;
  if (hasPeers && service?.spec?.["publishNotReadyAddresses"] !== true)
    faults.push(`its service ${serviceName} hides pods that are not ready, which wait for one another`);
  return faults;
}

/** A Service, a budget or a policy that selects no pod is a mistake, and so is a port that no pod has. */
function serviceFaults(manifests: readonly Manifest[]): string[] {
  const faults: string[] = [];
  const templates = manifests.map(podTemplateOf).filter((template) => template !== undefined);
  for (const manifest of manifests) {
    const name = `${manifest.kind} ${manifest.metadata.name}`;
    const selector = selectorOf(manifest);
    if (selector === undefined) continue;
    const selected = templates.filter(({ metadata }) => isSelected(selector, metadata.labels));
    if (selected.length === 0) faults.push(`${name}: selects no pod`);
    if (manifest.kind !== "Service") continue;
    const ports = selected.flatMap(({ spec }) => spec.containers.flatMap((one) => one.ports ?? []));
    for (const { targetPort } of (manifest.spec?.["ports"] ?? []) as { targetPort: string }[]) {
      if (!ports.some((port) => port.name === targetPort))
        faults.push(`${name}: its target port "${targetPort}" is none of the pods'`);
    }
  }
  return faults;
}

type Selector = Readonly<Record<string, string>>;

function selectorOf({ kind, spec }: Manifest): Selector | undefined {
  if (kind === "Service") return spec?.["selector"] as Selector;
  if (kind !== "PodDisruptionBudget" && kind !== "Deployment" && kind !== "StatefulSet") return undefined;
  return (spec?.["selector"] as { matchLabels: Selector } | undefined)?.matchLabels;
}
