"""What the command lines of `inn` and `innerd` share, and no verb.

`program` is a command with its verbs, which `verbs` loads when they are typed and of which `table` knows before;
`options` are the flags that all take and how a command ends, `settings` what those flags say, `page` how help looks and
`guide` what it says beside the verbs' own words. `prompt` and `consent` put questions to a person; `output`, `listing`,
`screen`, `styles` and `findings` are how answers look. `completing` answers shells the short way; `known`,
`suggestions`, `networks`, `kinds`, `near`, `shells` and `completions` are about what may be typed; `notes` reads signed
notes from files; `stdio` and `interrupted` keep a command from ending badly.
"""
