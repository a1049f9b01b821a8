//! The contract explains itself: `grpcurl describe` shows a sentence for everything that it has.
use std::collections::HashSet;

use onekeel_api::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};

/// Numbers of fields in `google/protobuf/descriptor.proto`, of which the path to an element consists.
mod number {
    pub const OF_FILE_MESSAGE: i32 = 4;
    pub const OF_FILE_ENUM: i32 = 5;
    pub const OF_FILE_SERVICE: i32 = 6;
    pub const OF_FILE_EXTENSION: i32 = 7;
    pub const OF_MESSAGE_FIELD: i32 = 2;
    pub const OF_MESSAGE_MESSAGE: i32 = 3;
    pub const OF_MESSAGE_ENUM: i32 = 4;
    pub const OF_MESSAGE_ONEOF: i32 = 8;
    pub const OF_ENUM_VALUE: i32 = 2;
    pub const OF_SERVICE_METHOD: i32 = 2;
}

/// Elements with their paths.
#[derive(Default)]
struct Walk(Vec<(Vec<i32>, String)>);

impl Walk {
    /// Adds the elements of one kind that lie in `path`; returns the path and the name of each.
    fn add<'a>(
        &mut self,
        path: &[i32],
        number: i32,
        parent: &str,
        names: impl Iterator<Item = &'a str>,
    ) -> Vec<(Vec<i32>, String)> {
        let own: Vec<_> = (0..)
            .zip(names)
            .map(|(place, name)| ([path, &[number, place]].concat(), format!("{parent}.{name}")))
            .collect();
        self.0.extend(own.iter().cloned());
        own
    }

    fn messages(&mut self, path: &[i32], number: i32, parent: &str, messages: &[DescriptorProto]) {
        let own = self.add(path, number, parent, messages.iter().map(DescriptorProto::name));
        for (message, (path, name)) in messages.iter().zip(own) {
            if message
                .options
                .as_ref()
                .is_some_and(prost_types::MessageOptions::map_entry)
            {
                // The compiler's own, for a `map` field: there is no place for a comment.
                self.0.retain(|(known, _)| *known != path);
                continue;
            }
            let fields = message.field.iter().map(FieldDescriptorProto::name);
            self.add(&path, number::OF_MESSAGE_FIELD, &name, fields);
            // What proto3 calls `optional` is a oneof that nobody wrote.
            let written = (0..).zip(&message.oneof_decl).filter(|(place, _)| {
                let mut of_it = message.field.iter().filter(|field| field.oneof_index == Some(*place));
                !of_it.all(FieldDescriptorProto::proto3_optional)
            });
            for (place, oneof) in written {
                let path = [path.as_slice(), &[number::OF_MESSAGE_ONEOF, place]].concat();
                self.0.push((path, format!("{name}.{}", oneof.name())));
            }
            self.enums(&path, number::OF_MESSAGE_ENUM, &name, &message.enum_type);
            self.messages(&path, number::OF_MESSAGE_MESSAGE, &name, &message.nested_type);
        }
    }

    fn enums(&mut self, path: &[i32], number: i32, parent: &str, enums: &[EnumDescriptorProto]) {
        let own = self.add(path, number, parent, enums.iter().map(EnumDescriptorProto::name));
        for (one, (path, name)) in enums.iter().zip(own) {
            self.add(
                &path,
                number::OF_ENUM_VALUE,
                &name,
                one.value.iter().map(EnumValueDescriptorProto::name),
            );
        }
    }

    fn file(&mut self, file: &FileDescriptorProto) {
        let package = file.package();
        self.messages(&[], number::OF_FILE_MESSAGE, package, &file.message_type);
        self.enums(&[], number::OF_FILE_ENUM, package, &file.enum_type);
        let extensions = file.extension.iter().map(FieldDescriptorProto::name);
        self.add(&[], number::OF_FILE_EXTENSION, package, extensions);
        let services = file.service.iter().map(ServiceDescriptorProto::name);
        for (service, (path, name)) in
            file.service
                .iter()
                .zip(self.add(&[], number::OF_FILE_SERVICE, package, services))
        {
            let methods = service.method.iter().map(MethodDescriptorProto::name);
            self.add(&path, number::OF_SERVICE_METHOD, &name, methods);
        }
    }
}

#[test]
fn everything_in_the_contract_has_a_comment() {
    let contract = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the contract");
    let ours = contract.file.iter().filter(|file| file.name().starts_with("onekeel/"));
    let (mut seen, mut bare) = (0, Vec::new());
    for file in ours {
        let mut walk = Walk::default();
        walk.file(file);
        let locations = &file
            .source_code_info
            .as_ref()
            .expect("the contract keeps its comments")
            .location;
        let commented: HashSet<&[i32]> = locations
            .iter()
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.as_slice())
            .collect();
        seen += walk.0.len();
        let without = walk
            .0
            .into_iter()
            .filter(|(path, _)| !commented.contains(path.as_slice()));
        bare.extend(without.map(|(_, name)| name));
    }
    assert!(seen > 300, "only {seen} elements of the contract were found");
    assert!(bare.is_empty(), "no comment before {bare:?}");
}
