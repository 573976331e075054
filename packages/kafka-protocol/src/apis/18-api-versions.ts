import { Api } from "../codec/api.ts";
import { array, bool, int16, int32, int64, string } from "../codec/field.ts";

export const apiVersions = new Api({
  key: 18,
  name: "ApiVersions",
  versions: "0-4",
  flexibleFrom: 3,
  request: {
    clientSoftwareName: string.versions("3+"),
    clientSoftwareVersion: string.versions("3+"),
  },
  response: {
    errorCode: int16,
    apiKeys: array({
      apiKey: int16,
      minVersion: int16,
      maxVersion: int16,
    }),
    throttleTimeMs: int32.versions("1+"),
    supportedFeatures: array({
      name: string,
      minVersion: int16,
      maxVersion: int16,
    })
      .versions("3+")
      .tagged(0, "3+"),
    finalizedFeaturesEpoch: int64.versions("3+").tagged(1, "3+").default(-1),
    finalizedFeatures: array({
      name: string,
      maxVersionLevel: int16,
      minVersionLevel: int16,
    })
      .versions("3+")
      .tagged(2, "3+"),
    zkMigrationReady: bool.versions("3+").tagged(3, "3+").default(false),
  },
});
