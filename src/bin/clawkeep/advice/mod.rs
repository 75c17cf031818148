//! What a person does about a credential or another program's login: the commands, in words.

mod credentials;
mod logins;
mod words;

pub(crate) use credentials::{
    Advised, Commands, describe_loss, how_to_lend_again, of_agent, paste, remedy, remedy_of,
    remedy_of_loss, remedy_of_problem,
};
pub(crate) use logins::{fault_remedy, login_remedy, own_login};
pub(crate) use words::{shell_path, shell_word};
