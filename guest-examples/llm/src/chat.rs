//! Renders a conversation by the template that the model's file has, which is written in Jinja.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};

/// Steps that a template may take, so that one that never ends is refused.
const FUEL: u64 = 1_000_000;

/// The texts of special tokens, as templates name them.
#[derive(Debug, Default)]
pub struct Special {
    /// What starts a text.
    pub bos: String,
    /// What ends one.
    pub eos: String,
}

/// The text that the model is to go on from: the conversation so far, and the start of its answer.
pub fn render(template: &str, system: Option<&str>, prompt: &str, special: &Special) -> Result<String, String> {
    let mut environment = Environment::new();
    // As those who write such templates have it.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| error.to_string())?);
    environment.set_fuel(Some(FUEL));
    // Templates for conversations that a model does not take call this.
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    let message = |role: &str, content: &str| context! { role => role, content => content };
    let system = system.map(|text| message("system", text));
    let messages: Vec<Value> = system.into_iter().chain([message("user", prompt)]).collect();
    let context = context! {
        messages => messages,
        add_generation_prompt => true,
        bos_token => special.bos.as_str(),
        eos_token => special.eos.as_str(),
    };
    let rendered = environment.render_str(template, context);
    rendered.map_err(|error| format!("the model's `tokenizer.chat_template` cannot be rendered: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SmolLM2's, shortened in its default for the system.
    const TEMPLATE: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe \
helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    #[test]
    fn a_conversation_is_rendered_by_the_template() {
        let rendered = render(TEMPLATE, None, "Hi <b>", &Special::default()).unwrap();
        assert_eq!(
            rendered,
            "<|im_start|>system\nBe helpful<|im_end|>\n<|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\n"
        );
        let rendered = render(TEMPLATE, Some("Be brief"), "Hi", &Special::default()).unwrap();
        assert!(rendered.starts_with("<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi"), "{rendered}");
    }

    #[test]
    fn a_template_that_fails_says_so() {
        let refused = |template: &str| render(template, None, "Hi", &Special::default()).unwrap_err();
        assert!(refused("{{ raise_exception('no system here') }}").contains("no system here"));
        assert!(refused("{% for x in").contains("syntax error"));
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(refused(endless).contains("fuel"), "{}", refused(endless));
        let special = Special { bos: "<s>".to_owned(), eos: "</s>".to_owned() };
        assert_eq!(render("{{ bos_token }}{{ eos_token }}", None, "", &special).unwrap(), "<s></s>");
    }
}
