{{/* The components that the values choose, in the order in which they are applied. */}}
{{- define "chorale.components" -}}
{{- $components := list -}}
{{- if .Values.gpu }}{{ $components = append $components "gpu" }}{{ end -}}
{{- if ne .Values.adapters "bundled" }}{{ $components = append $components (printf "adapters-%s" .Values.adapters) }}{{ end -}}
{{- $components | toJson -}}
{{- end -}}

{{/* The settings: of the base, of the components, of the values. */}}
{{- define "chorale.settings" -}}
{{- $settings := dict -}}
{{- $files := list "files/base/kustomization.yaml" -}}
{{- range include "chorale.components" . | fromJsonArray }}{{ $files = append $files (printf "files/components/%s/kustomization.yaml" .) }}{{ end -}}
{{- range $file := $files -}}
{{- range ($.Files.Get $file | fromYaml).configMapGenerator -}}
{{- range .literals -}}
{{- $pair := splitn "=" 2 . -}}
{{- $_ := set $settings $pair._0 $pair._1 -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- mergeOverwrite $settings .Values.settings | toJson -}}
{{- end -}}

{{/* A component's patch of the Deployment, applied as kustomize does it. Takes deployment and patch. */}}
{{- define "chorale.patch" -}}
{{- $spec := .deployment.spec.template.spec -}}
{{- $add := .patch.spec.template.spec -}}
{{- range $list := list "volumes" "tolerations" "initContainers" -}}
{{- with get $add $list }}{{ $_ := set $spec $list (concat (get $spec $list | default list) .) }}{{ end -}}
{{- end -}}
{{- $container := first $spec.containers -}}
{{- with first $add.containers -}}
{{- $_ := set $container "volumeMounts" (concat $container.volumeMounts (.volumeMounts | default list)) -}}
{{- $_ := set $container "resources" (mergeOverwrite $container.resources (.resources | default dict)) -}}
{{- end -}}
{{- with .patch.spec.strategy }}{{ $_ := mergeOverwrite $.deployment.spec.strategy . }}{{ end -}}
{{- end -}}
