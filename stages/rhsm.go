package stages

import (
	"errors"
	"fmt"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// RHSMOptions are the options of org.osbuild.rhsm.
type RHSMOptions struct {
	// Plugins of dnf.
	DNFPlugins *RHSMPlugins `json:"dnf-plugins,omitempty"`
	// Plugins of yum.
	YumPlugins *RHSMPlugins `json:"yum-plugins,omitempty"`
	// Settings of subscription-manager.
	SubscriptionManager *RHSMConfig `json:"subscription-manager,omitempty"`
}

// RHSMPlugins are the plugins that subscription-manager gives to dnf and yum.
type RHSMPlugins struct {
	// The plugin that keeps the certificates of products.
	ProductID *RHSMPlugin `json:"product-id,omitempty"`
	// The plugin that gives access to the repositories of a subscription.
	SubscriptionManager *RHSMPlugin `json:"subscription-manager,omitempty"`
}

// RHSMPlugin is the setting of a plugin.
type RHSMPlugin struct {
	// Whether the plugin is used.
	Enabled *bool `json:"enabled,omitempty"`
}

// RHSMConfig is what etc/rhsm/rhsm.conf says.
type RHSMConfig struct {
	// The section rhsm.
	RHSM *RHSMSection `json:"rhsm,omitempty"`
	// The section rhsmcertd.
	Certd *RHSMCertd `json:"rhsmcertd,omitempty"`
}

// RHSMSection is the section rhsm of etc/rhsm/rhsm.conf.
type RHSMSection struct {
	// Whether subscription-manager writes the file of repositories.
	ManageRepos *bool `json:"manage_repos,omitempty"`
	// Whether plugins of yum and dnf that are turned off are turned on again.
	AutoEnableYumPlugins *bool `json:"auto_enable_yum_plugins,omitempty"`
}

// RHSMCertd is the section rhsmcertd of etc/rhsm/rhsm.conf.
type RHSMCertd struct {
	// Whether a system in a cloud registers itself.
	AutoRegistration *bool `json:"auto_registration,omitempty"`
}

// rhsmStage edits the settings of Red Hat's subscription manager in place, with
// comments and order kept. The files must exist, and so must the sections of
// etc/rhsm/rhsm.conf. All of them are looked at before any is written; osbuild
// writes those before a missing one.
var rhsmStage = module.Module{
	Name:    "org.osbuild.rhsm",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "configure Red Hat's subscription manager",
	Options: optionsOf[RHSMOptions],
	Check:   checkOf[RHSMOptions],
	Run:     runOf(runRHSM),
}

func (*RHSMOptions) check() []module.Problem { return nil }

// rhsmSetting is one setting of one file.
type rhsmSetting struct {
	file, section, key string
	value              *bool
}

const rhsmConf = "etc/rhsm/rhsm.conf"

// settings lists the settings that are given, those of a file together.
func (o *RHSMOptions) settings() []rhsmSetting {
	var all []rhsmSetting
	plugins := func(dir string, p *RHSMPlugins) {
		if p == nil {
			return
		}
		if p.ProductID != nil {
			all = append(all, rhsmSetting{dir + "/product-id.conf", "main", "enabled", p.ProductID.Enabled})
		}
		if p.SubscriptionManager != nil {
			all = append(all, rhsmSetting{dir + "/subscription-manager.conf", "main", "enabled", p.SubscriptionManager.Enabled})
		}
	}
	plugins("etc/dnf/plugins", o.DNFPlugins)
	plugins("etc/yum/pluginconf.d", o.YumPlugins)
	if s := o.SubscriptionManager; s != nil {
		if s.RHSM != nil {
			all = append(all, rhsmSetting{rhsmConf, "rhsm", "manage_repos", s.RHSM.ManageRepos},
				rhsmSetting{rhsmConf, "rhsm", "auto_enable_yum_plugins", s.RHSM.AutoEnableYumPlugins})
		}
		if s.Certd != nil {
			all = append(all, rhsmSetting{rhsmConf, "rhsmcertd", "auto_registration", s.Certd.AutoRegistration})
		}
	}
	var given []rhsmSetting
	for _, s := range all {
		if s.value != nil {
			given = append(given, s)
		}
	}
	return given
}

func runRHSM(in *module.Input, t *tree.Root, o *RHSMOptions) error {
	files, found := map[string]*iniFile{}, map[string]bool{}
	var names []string
	var errs []error
	for _, s := range o.settings() {
		f := files[s.file]
		if f == nil {
			data, ok, err := readOptional(t, s.file)
			if err != nil {
				return err
			}
			if !ok {
				errs = append(errs, fmt.Errorf("the tree has no /%s: install subscription-manager and its plugins in an earlier stage", s.file))
			}
			f = parseINI(string(data))
			files[s.file], found[s.file] = f, ok
			names = append(names, s.file)
		}
		if _, _, ok := f.section(s.section); !ok && s.file == rhsmConf && found[rhsmConf] {
			errs = append(errs, fmt.Errorf("/%s has no section %s", s.file, s.section))
		}
		value := "0"
		if *s.value {
			value = "1"
		}
		f.set(s.section, s.key, value)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, name := range names {
		if err := writeFile(in, t, name, []byte(files[name].String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
