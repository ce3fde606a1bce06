//! Messages that the client would never send: bytes, and services that the model has no word for.

use std::os::fd::AsRawFd as _;

use ipvs_ctl::wire::{Command, IpvsMessage};
use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    socket,
};

/// Sends a message of the family, and answers what the kernel says.
pub(crate) fn tell(message: IpvsMessage) -> Result<(), Errno> {
    let mut attributes = vec![0; message.buffer_len()];
    message.emit(&mut attributes);
    tell_bytes(message.command, &attributes)
}

/// Sends attributes as they are.
pub(crate) fn tell_bytes(command: Command, attributes: &[u8]) -> Result<(), Errno> {
    let question = GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName("IPVS".to_owned())],
    };
    let answer: Answer<GenlCtrl> = exchange(GenlMessage::from_payload(question), NLM_F_REQUEST);
    let NetlinkPayload::InnerMessage(family) = answer.payload else { panic!("{answer:?}") };
    let family = family.payload.nlas.iter().find_map(|attribute| {
        if let GenlCtrlAttrs::FamilyId(id) = attribute { Some(*id) } else { None }
    });
    let bytes = Bytes { command, attributes: attributes.to_vec() };
    let mut message = GenlMessage::from_payload(bytes);
    message.set_resolved_family_id(family.expect("a family number"));
    let answer: Answer<Bytes> = exchange(message, NLM_F_REQUEST | NLM_F_ACK);
    let NetlinkPayload::Error(error) = answer.payload else { panic!("{answer:?}") };
    if error.raw_code() == 0 { Ok(()) } else { Err(Errno::from_raw(-error.raw_code())) }
}

type Answer<F> = NetlinkMessage<GenlMessage<F>>;

fn exchange<F>(message: GenlMessage<F>, flags: u16) -> Answer<F>
where
    F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + std::fmt::Debug,
{
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )
    .unwrap();
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
    send(socket.as_raw_fd(), &bytes, MsgFlags::empty()).unwrap();
    let mut answer = vec![0; 1 << 16];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()).unwrap();
    answer.truncate(length);
    Answer::<F>::deserialize(&answer).unwrap()
}

#[derive(Debug)]
struct Bytes {
    command: Command,
    attributes: Vec<u8>,
}

impl GenlFamily for Bytes {
    fn family_name() -> &'static str {
        "IPVS"
    }

    fn command(&self) -> u8 {
        self.command.into()
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Bytes {
    fn buffer_len(&self) -> usize {
        self.attributes.len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.attributes);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Bytes {
    fn parse_with_param(
        payload: &[u8],
        header: GenlHeader,
    ) -> Result<Self, netlink_packet_core::DecodeError> {
        Ok(Self { command: header.cmd.into(), attributes: payload.to_vec() })
    }
}
