// A Flame service: returns its input after the session's data; "fail WHY" fails.
package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log"
	"math"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"google.golang.org/grpc"

	"flame.example/service/flamev1"
)

type echo struct {
	flamev1.UnimplementedInstanceServer
	lock        sync.Mutex
	sessionData []byte
}

func (e *echo) OnSessionEnter(_ context.Context, session *flamev1.SessionContext) (*flamev1.Result, error) {
	log.Printf("session %s begins", session.SessionId)
	e.lock.Lock()
	defer e.lock.Unlock()
	e.sessionData = session.CommonData
	return &flamev1.Result{}, nil
}

func (e *echo) OnTaskInvoke(_ context.Context, task *flamev1.TaskContext) (*flamev1.TaskResult, error) {
	// Executors send the input under either number; see protos/flame/v1/shim.proto.
	input := task.InputSdk
	if input == nil {
		input = task.Input
	}
	log.Printf("task %s has %d bytes", task.TaskId, len(input))
	if input == nil {
		return &flamev1.TaskResult{}, nil // no input: no output
	}
	if why, found := bytes.CutPrefix(input, []byte("fail ")); found {
		// A failure is an answer, not an error: its message is the task's error.
		message := string(bytes.ToValidUTF8(why, []byte("?")))
		return &flamev1.TaskResult{ReturnCode: -1, Message: &message}, nil
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	output := make([]byte, 0, len(e.sessionData)+len(input))
	output = append(append(output, e.sessionData...), input...)
	return &flamev1.TaskResult{Output: output}, nil
}

func (e *echo) OnSessionLeave(context.Context, *flamev1.EmptyRequest) (*flamev1.Result, error) {
	log.Print("the session ends")
	e.lock.Lock()
	defer e.lock.Unlock()
	e.sessionData = nil
	return &flamev1.Result{}, nil
}

func main() {
	path := os.Getenv("FLAME_INSTANCE_ENDPOINT")
	if path == "" {
		log.Fatal("FLAME_INSTANCE_ENDPOINT is not set: an executor starts a service")
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	// A file may be left by a process that was killed.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Fatal(err)
	}
	socket, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32))
	flamev1.RegisterInstanceServer(server, &echo{})
	go func() {
		<-ended
		server.GracefulStop() // a running task is answered first
	}()
	if err := server.Serve(socket); err != nil {
		log.Fatal(err)
	}
}
