//! What do people do with certwright, and does it work on a real control plane?
//!
//! One test bed serves all stories; it starts when the first one runs. Each story lives in
//! namespaces of its own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod acceptance;
mod acme;
mod admission;
mod answers;
mod approval;
mod ari;
mod asked;
mod bed;
mod begun;
mod belonging;
mod book;
mod by_hand;
mod ca;
mod certificate;
mod chart;
mod clone;
mod command;
mod control_plane;
mod crash;
mod crash_at_once;
mod crash_revoke;
mod crl;
mod crl_lasting;
mod departure;
mod desk;
mod dns01;
mod drift;
mod ending;
mod events;
mod fairness;
mod fields;
mod generation;
mod healing;
mod held;
mod http01;
mod identity;
mod interlude;
mod issue;
mod issuer;
mod keystores;
mod leader;
mod left;
mod limits;
mod names;
#[path = "../objects/mod.rs"]
mod objects;
mod parts;
mod predecessor;
mod private_ca;
mod profile;
mod register;
mod replicas;
mod retire;
mod reuse;
mod revoke;
mod rotation;
mod roundtrip;
mod scene;
mod signing_place;
mod signing_request;
mod site;
mod solver_pod;
mod stand_in;
mod stores;
mod switch;
mod target;
mod told;
mod trust;
mod underway;
mod waiting;
mod work;
mod x509;
mod yard;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use testbed::stage::Stage;

use book::Book;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Stories wait more than they compute.
    arguments.test_threads.get_or_insert(8);
    let binary = env!("CARGO_BIN_EXE_certwright").into();
    let stage = Stage::new(Some(binary)).unwrap();
    let mut book = Book {
        stage,
        trials: Vec::new(),
    };
    tell(&mut book);
    let Book { stage, trials } = book;
    let conclusion = libtest_mimic::run(&arguments, trials);
    stage.end(conclusion.has_failed());
    conclusion.exit_code()
}

/// Those that are alone come last: the shared operator is stopped for them.
#[rustfmt::skip]
fn tell(book: &mut Book) {
    book.without_operator("acme::addresses_and_validity", acme::addresses_and_validity);
    book.without_operator("acme::every_account_key", acme::every_account_key);
    book.without_operator("acme::external_account", acme::external_account);
    book.without_operator("acme::order_to_revocation", acme::order_to_revocation);
    book.without_operator("acme::refusals", acme::refusals);
    book.without_operator("acme::rejected_nonces", acme::rejected_nonces);
    book.without_operator("bed::acme_server", bed::the_acme_server_answers);
    book.without_operator("bed::ingress_controller", bed::the_ingress_controller_routes);
    book.without_operator("chart::cert_manager_is_replaced_and_comes_back", chart::cert_manager_is_replaced_and_comes_back);
    book.without_operator("chart::a_switch_that_would_fail_is_not_begun", chart::a_switch_that_would_fail_is_not_begun);
    book.without_operator("chart::the_plain_manifest_applies", chart::the_plain_manifest_applies);
    book.without_operator("chart::rights_are_what_they_should_be", chart::rights_are_what_they_should_be);
    book.without_operator("events::users_are_told", events::users_are_told);

    book.without_operator("switch::what_was_issued_stays", switch::what_was_issued_stays);
    book.without_operator("switch::flags_and_failures_stay", switch::flags_and_failures_stay);
    book.without_operator("underway::what_was_begun_is_finished", underway::what_was_begun_is_finished);
    book.without_operator("underway::a_challenge_can_be_handed_back", underway::a_challenge_can_be_handed_back);
    book.without_operator("switch::left_over_webhooks_are_named", switch::left_over_webhooks_are_named);

    book.beside("told::an_annotated_ingress", told::an_annotated_ingress);
    book.beside("ari::the_ca_wants_it_renewed", ari::the_ca_wants_it_renewed);
    book.beside("ari::the_ca_says_nothing", ari::the_ca_says_nothing);
    book.beside("certificate::kept", certificate::the_secret_is_kept);
    book.beside("certificate::failures", certificate::failures_and_foreign_objects);
    book.beside("approval::other_groups", approval::other_groups_are_approved_and_left);
    book.beside("approval::race", approval::who_decides_first_has_decided);
    book.beside("waiting::ca", waiting::a_ca_that_comes_later_is_waited_for);
    book.beside("belonging::at_once", belonging::many_at_once_agree);
    book.beside("belonging::two", belonging::two_want_one_secret);
    book.beside("belonging::foreground", belonging::a_deletion_in_the_foreground_is_not_disturbed);
    book.beside("generation::followed", generation::conditions_follow_the_spec);
    book.beside("ca::nonces", ca::nonces_and_authorizations);
    book.beside("ca::profile", ca::a_profile_is_chosen);
    book.beside("profile::own", profile::a_certificate_has_its_own);
    book.beside("ca::preferred_chain", ca::the_preferred_chain_is_taken);
    book.beside("ca::down", ca::down_and_back);
    book.beside("ca::accounts_lost", ca::accounts_are_lost);
    book.beside("ca::external_account", ca::an_external_account_leads_to_a_secret);
    book.beside("dns01::wildcard_and_apex", dns01::a_wildcard_and_its_apex_together);
    book.beside("dns01::alias", dns01::an_alias_is_followed);
    book.beside("dns01::wrong_key", dns01::a_wrong_key_is_told_and_put_right);
    book.beside("dns01::lagging_server", dns01::a_lagging_server_is_waited_for);
    book.beside("dns01::cluster_issuer", dns01::a_cluster_issuer_has_its_key_elsewhere);
    book.beside("dns01::deletion", dns01::a_deletion_on_the_way_takes_the_record_away);
    book.beside("healing::dns_points_elsewhere", healing::dns_points_elsewhere);
    book.beside("healing::issuer_changed", healing::a_failure_is_tried_again_when_its_issuer_changes);
    book.beside("healing::secret_deleted", healing::a_secret_is_deleted);
    book.beside("healing::secret_tampered", healing::a_secret_is_tampered_with);
    book.beside("healing::spec_changed", healing::the_spec_is_changed);
    book.beside("healing::deletion", healing::a_deletion_on_the_way_takes_the_routes_away);
    book.beside("healing::not_supported", healing::what_is_not_supported_is_told);
    book.beside("http01::route", http01::a_route_is_made_and_taken_away);
    book.beside("http01::class", http01::a_class_goes_by_its_annotation);
    book.beside("http01::name", http01::an_ingress_is_edited_and_put_back);
    book.beside("http01::address", http01::an_address_is_proven);
    book.beside("issue::by_dns01", issue::by_dns01);
    book.beside("issue::by_http01", issue::by_http01);
    book.beside("issuer::account", issuer::an_account_is_registered_once);
    book.beside("issuer::cluster_issuer", issuer::a_cluster_issuer_has_its_secrets_elsewhere);
    book.beside("issuer::external_account", issuer::an_external_account_is_bound_once);
    book.beside("issuer::keys", issuer::account_keys_are_taken_over);
    book.beside("issuer::missing", issuer::what_is_missing_is_told);
    book.beside("issuer::server", issuer::the_server_is_followed);
    book.beside("keystores::made", keystores::are_made_and_taken_away);
    book.beside("keystores::passwords", keystores::follow_their_password);
    book.beside("limits::orders_wait_their_turn", limits::orders_wait_their_turn);
    book.beside("limits::failures", limits::failures_are_counted);
    book.beside("limits::the_ca_is_busy", limits::the_ca_is_busy);
    book.beside("names::solvers", names::each_name_has_its_solver);
    book.beside("names::no_solver", names::a_name_without_a_solver_waits_for_one);

    book.beside("private_ca::chain", private_ca::a_chain_is_made_in_the_cluster);
    book.beside("private_ca::cannot_sign", private_ca::a_ca_that_cannot_sign_is_told_and_put_right);
    book.beside("private_ca::cluster_issuer", private_ca::a_cluster_issuer_signs_for_every_namespace);
    book.beside("private_ca::leaf_ends", private_ca::a_leaf_ends_with_its_ca);
    book.beside("by_hand::served", by_hand::a_request_needs_no_certificate);

    book.beside("rotation::followed", rotation::what_a_ca_signed_follows_it);
    book.beside("rotation::opt_out", rotation::an_issuer_may_opt_out);
    book.beside("rotation::record", rotation::a_record_goes_with_its_issuer);

    book.beside("signing_request::ca", signing_request::a_ca_signs_what_is_approved);
    book.beside("signing_request::cluster_issuer", signing_request::a_cluster_issuer_signs_too);
    book.beside("signing_request::reference", signing_request::an_issuer_is_used_by_those_who_may);
    book.beside("signing_request::missing_issuer", signing_request::a_missing_issuer_is_waited_for);
    book.beside("signing_request::itself", signing_request::a_request_signs_itself);
    book.beside("signing_request::http01", signing_request::by_http01);
    book.beside("signing_request::dns01", signing_request::by_dns01_of_a_cluster_issuer);
    book.beside("fields::odd_certificates", fields::odd_certificates_are_what_was_asked_for);
    book.beside("drift::repaired", drift::whatever_is_done_to_the_secret_is_repaired);

    book.alone("answers::dns_is_put_right", answers::dns_is_put_right);
    book.alone("issue::another_operator_goes_on", issue::another_operator_goes_on);
    book.alone("approval::denied", approval::what_is_denied_is_never_signed);
    book.alone("approval::between", approval::a_denial_in_between_counts);
    book.alone("approval::outlived", approval::a_denial_outlives_the_operator);
    book.alone("waiting::approver", waiting::another_approver_is_waited_for);
    book.alone("belonging::flag", belonging::the_owner_goes_by_the_flag);
    book.alone("admission::certificates", admission::certificates);
    book.alone("admission::challenges", admission::challenges);
    book.alone("admission::issuers", admission::issuers);
    book.alone("admission::many_names", admission::many_names);
    book.alone("admission::orders", admission::orders);
    book.alone("admission::requests", admission::requests);
    book.alone("healing::the_ca_says_no", healing::the_ca_says_no);
    book.alone("healing::undecodable", healing::what_does_not_decode_is_passed_over);
    book.alone("chart::the_operator_is_refused_nothing", chart::the_operator_is_refused_nothing);
    book.alone("command::admin", command::who_runs_the_cluster_asks);
    book.alone("command::tenant", command::a_tenant_asks);
    book.alone("asked::written_down", asked::who_asks_is_written_down);
    book.alone("asked::recorded", asked::who_asked_stands_in_the_record);
    book.alone("control_plane::a_missing_kind_is_waited_for", control_plane::a_missing_kind_is_waited_for);
    book.alone("control_plane::work_survives_a_restart", control_plane::work_survives_a_restart);
    book.alone("crash::at_once", crash_at_once::at_every_write);
    book.alone("crash::dns01", crash::at_every_request_of_dns01);
    book.alone("crash::http01", crash::at_every_request_of_http01);
    book.alone("crash::deleted", crash_revoke::what_is_deleted);
    book.alone("crash::superseded", crash_revoke::what_is_superseded);
    book.alone("crash::compromised", crash_revoke::what_is_compromised);
    book.alone("crash::ari", ari::at_every_request);
    book.alone("fairness::broken_names_hold_nobody_up", fairness::broken_names_hold_nobody_up);
    book.alone("identity::written_down", identity::the_requester_is_written_down);
    book.alone("identity::operator", identity::the_operator_says_who_it_is);
    book.alone("identity::where_it_cannot_be", identity::where_it_cannot_be_nothing_else_is_claimed);
    book.alone("keystores::restart", keystores::outlive_a_restart);
    book.alone("leader::one_replica_leads", leader::one_replica_leads);
    book.alone("leader::a_restart_of_the_api_server_is_lived_through", leader::a_restart_of_the_api_server_is_lived_through);
    book.alone("replicas::a_stopped_one_is_resumed", replicas::a_stopped_one_is_resumed);
    book.alone("replicas::any_replica_answers", replicas::any_replica_answers);
    book.alone("replicas::the_other_one_goes_on", replicas::the_other_one_goes_on);
    book.alone("rotation::seen", rotation::only_what_was_seen_is_followed);
    book.alone("trust::kept", trust::everybody_is_trusted_all_the_while);
    book.alone("crl::what_is_deleted", crl::what_is_deleted_is_on_the_list);
    book.alone("crl::reasons", crl::reasons_and_another_ca);
    book.alone("crl::crash", crl_lasting::whoever_signs_dies);
    book.alone("crl::replicas", crl_lasting::every_replica_serves_it);
    book.alone("crl::may_not_sign", crl::a_ca_that_may_not_sign_lists);
    book.alone("crl::cluster_issuer", crl::of_a_cluster_issuer);
    book.alone("departure::its_secret_goes", departure::its_secret_goes);
    book.alone("departure::an_issuer_holds_it", departure::an_issuer_holds_it);
    book.alone("departure::who_comes_back_keeps_it", departure::who_comes_back_keeps_it);
    book.alone("departure::the_next_leader_knows", departure::the_next_leader_knows);
    book.alone("departure::a_list_comes_later", departure::a_list_comes_later);
    book.alone("departure::many_at_once_are_held", departure::many_at_once_are_held);
    book.alone("departure::a_lost_account_is_told", departure::a_lost_account_is_told);
    book.alone("interlude::what_went_meanwhile_is_held", interlude::what_went_meanwhile_is_held);
    book.alone("retire::after_the_delay", retire::after_the_delay);
    book.alone("retire::who_comes_back_keeps_it", retire::who_comes_back_keeps_it);
    book.alone("retire::an_ingress_holds_it", retire::an_ingress_holds_it);
    book.alone("retire::copies_elsewhere_hold_it", retire::copies_elsewhere_hold_it);
    book.alone("retire::many_at_once_are_held", retire::many_at_once_are_held);
    book.alone("retire::with_its_namespace", retire::with_its_namespace);
    book.alone("held::by_a_gateway", held::a_gateway_holds_it);
    book.alone("held::by_a_copy", held::a_copy_elsewhere_holds_it);
    book.alone("clone::left_alone", clone::what_another_cluster_issued_is_left_alone);
    book.alone("held::by_the_brake", held::the_brake_outlives_a_restart);
    book.alone("ending::copy", ending::the_copy_outlives_the_operator);
    book.alone("ending::cluster_issuer", ending::a_cluster_issuer_outlives_it);
    book.alone("revoke::the_ca_says_later", revoke::the_ca_says_later);
    book.alone("revoke::another_account_key", revoke::another_account_key);
    book.alone("reuse::under_another_name", reuse::under_another_name);
    book.alone("reuse::by_two_at_a_time", reuse::by_two_at_a_time);
    book.alone("reuse::on_demand_for_both", reuse::on_demand_for_both);
    book.alone("reuse::others_are_ordered", reuse::others_are_ordered);
    book.alone("reuse::at_every_request", reuse::at_every_request);
    book.alone("revoke::the_ca_is_down", revoke::the_ca_is_down);
    book.alone("revoke::the_account_is_lost", revoke::the_account_is_lost);
    book.alone("revoke::at_every_request", revoke::at_every_request);
    book.alone("revoke::on_demand", revoke::on_demand);
    book.alone("signing_request::another_operator_goes_on", signing_request::another_operator_goes_on);
    book.alone("signing_request::without_rights", signing_request::without_rights_all_the_rest_works);
    book.alone("told::signers_are_kept", told::signers_are_kept);
    book.alone("roundtrip::every_field_is_kept", roundtrip::every_field_is_kept);
    // Takes every Certificate away.
    book.alone("retire::with_the_definition", retire::with_the_definition);
    book.alone("ending::definition", ending::the_definition_went_meanwhile);
    // Takes the API server away for a moment.
    book.alone("bed::control_plane", bed::the_control_plane_works);
}
