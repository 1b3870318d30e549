//! Which policy a process falls under, and what that asks for.

use super::{
    config::{Config, Glob, Policy},
    orders::{Manner, Sharing},
    processes::Info,
};

/// What is to be done with a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The policy's name.
    pub policy: String,
    pub manner: Manner,
    /// What it is called where it does not say itself.
    pub service: Option<String>,
}

/// By the first policy that matches; without any, each process is traced as is usual. `None`: it is not traced.
pub fn decide(config: &Config, info: &Info) -> Option<Decision> {
    if config.policy.is_empty() {
        return Some(by(config, &Policy::default()));
    }
    let policy = config.policy.iter().find(|policy| policy.matches(info))?;
    policy.trace.0.then(|| by(config, policy))
}

fn by(config: &Config, policy: &Policy) -> Decision {
    Decision {
        policy: policy.name.clone(),
        manner: Manner {
            effects: policy.effects.0.clone(),
            functions: policy.functions.iter().map(|glob| glob.0.clone()).collect(),
            stack: policy.stack.0,
            max_str: policy.max_str.0,
            max_items: policy.max_items.0,
            max_depth: policy.max_depth.0,
            values: policy.values,
            budget: policy.budget.unwrap_or(config.budget.process),
            sharing: Sharing::Own,
        },
        service: policy.service.clone(),
    }
}

impl Policy {
    fn matches(&self, info: &Info) -> bool {
        let wants = &self.matches;
        let any = |globs: &[Glob], texts: &[&str]| {
            globs.is_empty() || globs.iter().any(|glob| texts.iter().any(|text| glob.is(text)))
        };
        let optional = |globs: &[Glob], text: &Option<String>| match text {
            Some(text) => any(globs, &[text]),
            None => globs.is_empty(),
        };
        any(&wants.command, &[&info.command])
            && any(&wants.executable, &[&info.executable])
            && any(&wants.user, &[&info.user[0], &info.user[1]])
            && any(&wants.cgroup, &[&info.cgroup])
            && optional(&wants.container, &info.container)
            && optional(&wants.pod, &info.pod)
            && optional(&wants.service, &info.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> Info {
        Info {
            pid: 1,
            began: 2,
            executable: "/usr/bin/python3.11".into(),
            command: "/usr/bin/python3 -m http.server 80".into(),
            user: ["www-data".into(), "33".into()],
            cgroup: "/system.slice/web.service".into(),
            container: None,
            pod: None,
            library: (1, 1),
            switches: false,
            service: Some("shop-eu".into()),
        }
    }

    fn policy_of(text: &str) -> Option<String> {
        let config = Config::parse(text).unwrap();
        decide(&config, &info()).map(|decision| decision.policy)
    }

    #[test]
    fn without_policies_all_are_traced() {
        assert_eq!(policy_of(""), Some(String::new()));
    }

    #[test]
    fn the_first_that_matches_decides() {
        let named = |matches: &str| format!("[[policy]]\nname = \"a\"\nmatch = {{ {matches} }}\n");
        for matches in [
            "",
            "command = ['*http.server*']",
            "command = ['nothing', '/usr/bin/python3 *']",
            "user = ['33']",
            "user = ['www-*']",
            "executable = ['/usr/bin/*']",
            "cgroup = ['*/web.service']",
            "service = ['shop-*'], user = ['33']",
        ] {
            assert_eq!(policy_of(&named(matches)).as_deref(), Some("a"), "{matches}");
        }
        for matches in [
            "command = ['http.server']",
            "user = ['33'], cgroup = ['/user.slice*']",
            "container = ['*']",
            "pod = ['*']",
            "service = ['cart']",
        ] {
            assert_eq!(policy_of(&named(matches)), None, "{matches}");
            let other = named(matches) + "[[policy]]\nname = 'b'\n";
            assert_eq!(policy_of(&other).as_deref(), Some("b"), "{matches}");
        }
        let excluded = "[[policy]]\nmatch = { user = ['33'] }\ntrace = false\n[[policy]]\nname = 'b'\n";
        assert_eq!(policy_of(excluded), None);
    }

    #[test]
    fn values_stay_unless_a_policy_lets_them_out() {
        use tracer_user::export::record::Values;
        let manner = |text: &str| decide(&Config::parse(text).unwrap(), &info()).unwrap().manner;
        assert_eq!(manner("").values, Values::None);
        assert_eq!(manner("[[policy]]\n").values, Values::None);
        assert_eq!(manner("[[policy]]\nvalues = 'full'\n").values, Values::Full);
        assert_eq!(manner("[budget]\nprocess = '3%'\n").budget, "3%".parse().unwrap());
        assert_eq!(
            manner("[[policy]]\nbudget = '4%'\n").budget,
            "4%".parse().unwrap()
        );
    }
}
