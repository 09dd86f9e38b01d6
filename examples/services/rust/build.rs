//! Makes Rust of the proto files. protox compiles them, so no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = "../../../protos";
    println!("cargo:rerun-if-changed={protos}");
    let files = protox::compile(["flame/v1/shim.proto"], [protos])?;
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(files)?;
    Ok(())
}
