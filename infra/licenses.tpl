{{ range . }}{{ .Name }},{{ .LicenseName }}
{{ end }}