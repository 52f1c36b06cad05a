package lambdahost

import (
	"os"
	"path/filepath"
	"strconv"
)

// inherited are the variables that a process needs to find its temporary
// directory and, in tests, other programs. Credentials, profiles and proxies of
// the machine must not reach it.
var inherited = []string{"PATH", "HOME", "TMPDIR"}

func (f *Function) environment(api string) []string {
	var env []string
	for _, key := range inherited {
		if value, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+value)
		}
	}
	env = append(env, f.reserved(api)...)
	return append(env, f.Env...)
}

// reserved is what Lambda itself sets, with the address of the Runtime API.
func (f *Function) reserved(api string) []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + api,
		"AWS_LAMBDA_FUNCTION_NAME=" + f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_FORMAT=JSON",
		"AWS_LAMBDA_LOG_LEVEL=" + f.LogLevel,
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME=local",
		"LAMBDA_TASK_ROOT=" + filepath.Dir(f.Path),
		"_HANDLER=" + filepath.Base(f.Path),
	}
}
