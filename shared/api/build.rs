//! Compiles the contract without `protoc`; the descriptor set keeps the method options that a prost struct would drop.
use std::path::{Path, PathBuf};

use protox::Compiler;
use protox::prost::Message;
use protox::prost_reflect::{DescriptorPool, DynamicMessage, Value};

const PROTO_ROOT: &str = "../../proto";
/// Messages with a secret in them; what they show of themselves is written by hand, in `src/secret.rs`.
const SECRET: [&str; 4] = [
    ".onekeel.tenant.v1.CreateApiKeyResponse",
    ".onekeel.tenant.v1.RotateApiKeyResponse",
    ".onekeel.tenant.v1.ExchangeApiKeyRequest",
    ".onekeel.tenant.v1.ExchangeApiKeyResponse",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let mut files = Vec::new();
    collect(Path::new(PROTO_ROOT), &mut files)?;
    files.sort();

    let mut compiler = Compiler::new([PROTO_ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let contract = without_positions(&compiler.encode_file_descriptor_set())?;
    std::fs::write(out.join("onekeel.bin"), contract)?;
    tonic_prost_build::configure()
        .skip_debug(SECRET)
        .codec_path("crate::SmallBuffers")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The contract with its comments, which reflection shows, and without the positions of everything else: once a
/// tool has asked, a server holds all of it twice. Options of ours stay, as a dynamic message keeps what it does not know.
fn without_positions(contract: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let described = DescriptorPool::global().get_message_by_name("google.protobuf.FileDescriptorSet");
    let mut contract = DynamicMessage::decode(described.ok_or("no descriptor of descriptors")?, contract)?;
    for file in list(contract.get_field_by_name_mut("file")) {
        let Some(file) = file.as_message_mut() else { continue };
        let ours = file
            .get_field_by_name("name")
            .is_some_and(|name| name.as_str().is_some_and(|name| name.starts_with("onekeel/")));
        if !ours {
            file.clear_field_by_name("source_code_info");
            continue;
        }
        let positions = file.get_field_by_name_mut("source_code_info");
        let positions = positions
            .and_then(Value::as_message_mut)
            .ok_or("a file without positions")?;
        list(positions.get_field_by_name_mut("location")).retain(|position| {
            position
                .as_message()
                .is_some_and(|position| position.has_field_by_name("leading_comments"))
        });
    }
    Ok(contract.encode_to_vec())
}

fn list(field: Option<&mut Value>) -> &mut Vec<Value> {
    let list = field.and_then(Value::as_list_mut);
    list.expect("the field is a list in every version of the descriptor")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
