package stage

// Environments are what the functions are deployed with, by the template's
// names.
var Environments = map[string]func(Clouds) []string{
	"RotateFunction": environment, "AuditFunction": auditEnvironment, "RevokeFunction": revokeEnvironment,
}
