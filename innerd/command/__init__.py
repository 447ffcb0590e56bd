"""What the command lines of `inn` and `innerd` share, and no verb.

`program` is a command with its verbs, `options` the flags that all take and how a command ends, `settings` what those
flags say, `guide` what help says beside the verbs' own words. `prompt` and `consent` put questions to a person,
`output`, `listing` and `findings` are how answers look. `suggestions`, `networks`, `kinds`, `near`, `shells` and
`completions` are about what may be typed; `notes` reads signed notes from files; `stdio` and `interrupted` keep a
command from ending badly.
"""
