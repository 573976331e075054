import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { treeRoot } from "../../support/ottla-server.ts";
import { PROFILES, type Profile, renderText } from "./helm.ts";

/**
 * `make rendered`: writes k8s/rendered, the manifests of each of the chart's profiles, so that a change of
 * the chart can be read. A test compares them.
 */

/** What is random in the manifests gives way to words. */
export function normalised(manifests: string): string {
  return manifests.replace(/(cluster-secret: )\S+$/gm, "$1KGdlbmVyYXRlZCk=").replace(/[ \t]+$/gm, "");
}

export function renderedPath(profile: Profile): string {
  return join(treeRoot, "k8s/rendered", `${profile}.yaml`);
}

if (process.argv[1] === import.meta.filename) {
  for (const profile of Object.keys(PROFILES) as Profile[]) {
    await writeFile(renderedPath(profile), normalised(await renderText({ profile })));
  }
}
