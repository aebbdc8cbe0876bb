// The objects of the Gateway API Inference Extension (InferencePool v1, InferenceObjective v1alpha2) as far as a user
// writes them, for which no package has types. Written from the extension's reference of its API.
import { IIoK8sApimachineryPkgApisMetaV1ObjectMeta } from "@kubernetes-models/apimachinery/apis/meta/v1/ObjectMeta";

export interface IInferencePool {
  apiVersion: "inference.networking.k8s.io/v1";
  kind: "InferencePool";
  metadata?: IIoK8sApimachineryPkgApisMetaV1ObjectMeta;
  spec: {
    selector: { matchLabels: { [label: string]: string } };
    /** One to eight, each once. */
    targetPorts: { number: number }[];
    appProtocol?: "http" | "kubernetes.io/h2c";
    endpointPickerRef?: {
      group?: string;
      kind?: string;
      name: string;
      port?: { number: number };
      failureMode?: "FailOpen" | "FailClose";
    };
  };
}

export interface IInferenceObjective {
  apiVersion: "inference.networking.x-k8s.io/v1alpha2";
  kind: "InferenceObjective";
  metadata?: IIoK8sApimachineryPkgApisMetaV1ObjectMeta;
  spec: {
    priority?: number;
    poolRef: { group?: string; kind?: string; name: string };
  };
}
