//! What must hold for answers of nameservers, and for their names, of any shape?

use hickory_proto::op::Message;

use super::{Answer, Nameserver, Question, parse_resolv_conf, shown};

/// Messages: one that answers its own question is looked at from all sides.
pub fn answer(data: &[u8]) {
    let Ok(message) = Message::from_vec(data) else {
        return;
    };
    let Some(query) = message.queries.first() else {
        return;
    };
    let question = Question {
        name: query.name().clone(),
        kind: query.query_type(),
        recursion: true,
    };
    let read = Answer::read("server".to_owned(), question.clone(), message.id, data);
    let Ok(answer) = read else {
        return;
    };
    let name = &question.name;
    for zone in [answer.zone(), answer.referral()].into_iter().flatten() {
        assert!(zone.zone_of(name), "{zone} is not above {name}");
        let _ = (shown(zone), answer.servers_of(zone));
    }
    let records = answer.answers.len() + answer.authorities.len();
    assert!(answer.texts().len() + answer.addresses().len() <= records);
    assert!(answer.authorizations().len() <= records);
    let _ = (answer.alias_of(name), answer.negative_ttl());
    assert!(question.message().is_ok(), "{name} cannot be asked for");
}

/// Nameservers as people write them, which are written so that they are read again, and
/// resolv.conf.
pub fn nameserver(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    assert!(parse_resolv_conf(text).len() <= 8);
    if let Ok(server) = text.parse::<Nameserver>() {
        let again = server.to_string().parse::<Nameserver>();
        assert_eq!(again.ok(), Some(server));
    }
}
