import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { treeRoot } from "../../support/ottla-server.ts";
import type { Manifest } from "./manifests.ts";

const run = promisify(execFile);

export const chartDirectory = join(treeRoot, "charts/ottla");
const tools = join(treeRoot, ".cache/chart");
const helmProgram = join(tools, "tools/helm/helm");

/** The profiles that the chart comes with. */
export const PROFILES = {
  default: "values.yaml",
  dev: "values-dev.yaml",
  production: "values-production.yaml",
} as const;

export type Profile = keyof typeof PROFILES;

export interface TemplateOptions {
  readonly profile?: Profile;
  /** As after `--set`. */
  readonly set?: readonly string[];
  /** As after `--api-versions` and `--kube-version`. */
  readonly kubeVersion?: string;
  /** A changed copy of the chart. */
  readonly chart?: string;
}

export async function helm(args: readonly string[]): Promise<string> {
  const { stdout } = await run(helmProgram, args, { maxBuffer: 64 * 2 ** 20 });
  return stdout;
}

/** What `helm template` renders, as text. Rejects with helm's own words. */
export function renderText(options: TemplateOptions = {}): Promise<string> {
  const { profile = "default", set = [], kubeVersion, chart = chartDirectory } = options;
  return helm([
    "template",
    "ottla",
    chart,
    "--namespace=streams",
    `--values=${join(chart, PROFILES[profile])}`,
    ...set.map((value) => `--set=${value}`),
    ...(kubeVersion === undefined ? [] : [`--kube-version=${kubeVersion}`]),
  ]);
}

/** The same, parsed. */
export async function render(options: TemplateOptions = {}): Promise<readonly Manifest[]> {
  const documents = parseAllDocuments(await renderText(options));
  return documents.map((document) => document.toJS() as Manifest | null).filter((found) => found !== null);
}

/** Checks a file of manifests against Kubernetes' own schemas; rejects with what is wrong. */
export async function validateAgainstApi(path: string, kubernetesVersion: string): Promise<void> {
  const python = join(tools, "python/bin/kubernetes-validate");
  await run(python, ["--strict", "--quiet", "-k", kubernetesVersion, path]).catch((thrown: unknown) => {
    const { stdout = "", stderr = "" } = thrown as { stdout?: string; stderr?: string };
    throw new Error(`Kubernetes ${kubernetesVersion} refuses ${path}:\n${stdout}${stderr}`);
  });
}
