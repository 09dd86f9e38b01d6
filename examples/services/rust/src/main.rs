//! A Flame service: returns its input after the session's data; "fail WHY" fails.

use std::path::PathBuf;

use tokio::net::UnixListener;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::Mutex;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

pub mod flame {
    tonic::include_proto!("flame.v1");
}
use flame::instance_server::{Instance, InstanceServer};
use flame::{EmptyRequest, Result as Answer, SessionContext, TaskContext, TaskResult};

#[derive(Default)]
struct Echo {
    session_data: Mutex<Vec<u8>>,
}

#[tonic::async_trait]
impl Instance for Echo {
    async fn on_session_enter(
        &self,
        request: Request<SessionContext>,
    ) -> Result<Response<Answer>, Status> {
        let context = request.into_inner();
        eprintln!("session {} begins", context.session_id);
        *self.session_data.lock().await = context.common_data.unwrap_or_default();
        Ok(Response::new(Answer::default()))
    }

    async fn on_task_invoke(
        &self,
        request: Request<TaskContext>,
    ) -> Result<Response<TaskResult>, Status> {
        let task = request.into_inner();
        // Executors send the input under either number; see protos/flame/v1/shim.proto.
        let input = task.input_sdk.or(task.input);
        let size = input.as_ref().map_or(0, Vec::len);
        eprintln!("task {} has {size} bytes", task.task_id);
        let Some(input) = input else {
            return Ok(Response::new(TaskResult::default())); // no input: no output
        };
        if let Some(why) = input.strip_prefix(b"fail ") {
            // A failure is an answer, not a status: its message is the task's error.
            return Ok(Response::new(TaskResult {
                return_code: -1,
                message: Some(String::from_utf8_lossy(why).into_owned()),
                ..Default::default()
            }));
        }
        let mut output = self.session_data.lock().await.clone();
        output.extend_from_slice(&input);
        Ok(Response::new(TaskResult {
            output: Some(output),
            ..Default::default()
        }))
    }

    async fn on_session_leave(
        &self,
        _request: Request<EmptyRequest>,
    ) -> Result<Response<Answer>, Status> {
        eprintln!("the session ends");
        self.session_data.lock().await.clear();
        Ok(Response::new(Answer::default()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var_os("FLAME_INSTANCE_ENDPOINT")
        .map(PathBuf::from)
        .ok_or("FLAME_INSTANCE_ENDPOINT is not set: an executor starts a service")?;
    let mut ended = signal(SignalKind::terminate())?;
    let _ = std::fs::remove_file(&path); // left by a process that was killed
    let socket = UnixListenerStream::new(UnixListener::bind(&path)?);
    let instance = InstanceServer::new(Echo::default())
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    tonic::transport::Server::builder()
        .add_service(instance)
        .serve_with_incoming_shutdown(socket, async move {
            ended.recv().await; // a running task is answered first
        })
        .await?;
    Ok(())
}
